@blocker
Feature: Only clients that authenticate get in
  Every member and every endpoint is a way into the database. If one of them trusts its clients where the others ask for
  a password, the cluster is open to anyone who finds it.

  @id.SE-01 @network_login
  Scenario Outline: Every endpoint refuses a login with <wrong>
    Given every endpoint accepts the application's login
    When logins with <wrong> are tried at every endpoint
    Then every login is refused as unauthenticated

    Examples:
      | wrong            |
      | a wrong password |
      | no password      |
      | an unknown role  |

  @id.SE-01 @members
  Scenario Outline: Every member refuses a login with <wrong>
    Given every member accepts the application's login
    When logins with <wrong> are tried at every member
    Then every login is refused as unauthenticated

    Examples:
      | wrong            |
      | a wrong password |
      | no password      |
      | an unknown role  |

  @id.SE-02 @smoke @network_login
  Scenario: Every endpoint authenticates logins by SCRAM, so that no password crosses the network
    Then every endpoint asks for SCRAM authentication

  @id.SE-02 @members
  Scenario: Every member authenticates logins by SCRAM, so that no password crosses the network
    Then every member asks for SCRAM authentication
