@blocker
Feature: Only those who prove who they are get in
  Every member and every endpoint is a door. One that trusts where the others ask is open to everyone who finds it.

  @id.SE-01
  Scenario Outline: Every endpoint refuses a login with <wrong>
    Given every endpoint lets the application in by its right login
    When logins with <wrong> are tried at every endpoint
    Then each of them is refused as not authenticated

    Examples:
      | wrong            |
      | a wrong password |
      | no password      |
      | an unknown role  |

  @id.SE-01 @members
  Scenario Outline: Every member refuses a login with <wrong>
    Given every member lets the application in by its right login
    When logins with <wrong> are tried at every member
    Then each of them is refused as not authenticated

    Examples:
      | wrong            |
      | a wrong password |
      | no password      |
      | an unknown role  |

  @id.SE-02
  Scenario: Every endpoint has a login proven by SCRAM, so that no password crosses the network
    Then every endpoint asks for a proof by SCRAM

  @id.SE-02 @members
  Scenario: Every member has a login proven by SCRAM, so that no password crosses the network
    Then every member asks for a proof by SCRAM
