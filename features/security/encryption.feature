@critical
Feature: Who listens on the way hears nothing, and who stands in the way is found out
  A connection in the clear gives every answer to whoever listens. One that believes any certificate gives the password
  to whoever answers first.

  @id.SE-03 @tls
  Scenario: Every endpoint refuses a login without TLS
    Given every endpoint lets the application in by its right login
    When logins without TLS are tried at every endpoint
    Then each of them is refused as not authenticated

  @id.SE-03 @tls @members
  Scenario: Every member refuses a login without TLS
    Given every member lets the application in by its right login
    When logins without TLS are tried at every member
    Then each of them is refused as not authenticated

  @id.SE-03 @verified_tls
  Scenario: The application believes no endpoint whose certificate another authority should have signed
    Given every endpoint lets the application in by its right login
    When the application trusts another authority alone, and logs in at every endpoint
    Then it turns away from each of them, for the certificate
