@critical
Feature: Connections are encrypted, and clients verify the server's certificate
  Anyone on the network path can read an unencrypted connection. A client that accepts any certificate sends its
  password to an attacker who answers in the place of the server (man in the middle).

  @id.SE-03 @tls
  Scenario: Every endpoint refuses a login without TLS
    Given every endpoint accepts the application's login
    When logins without TLS are tried at every endpoint
    Then every login is refused as unauthenticated

  @id.SE-03 @tls @members
  Scenario: Every member refuses a login without TLS
    Given every member accepts the application's login
    When logins without TLS are tried at every member
    Then every login is refused as unauthenticated

  @id.SE-03 @verified_tls
  Scenario: The application rejects a certificate that was not signed by the authority it trusts
    Given every endpoint accepts the application's login
    When the application trusts a different authority only, and logs in at every endpoint
    Then the application rejects the certificate of each endpoint
