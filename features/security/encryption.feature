@critical
Feature: Connections are encrypted, and clients verify the server's certificate
  Anyone on the network path can read an unencrypted connection. A client that accepts any certificate sends its
  password to an attacker who answers in the place of the server (man in the middle).

  @id.SE-03 @tls @network_login
  Scenario: Every endpoint accepts logins with TLS and refuses them without
    When the application logs in at every endpoint, with TLS and without
    Then every login with TLS is accepted
    And every login without TLS is refused

  @id.SE-03 @tls @members
  Scenario: Every member accepts logins with TLS and refuses them without
    When the application logs in at every member, with TLS and without
    Then every login with TLS is accepted
    And every login without TLS is refused

  @id.SE-03 @verified_tls @network_login
  Scenario: Every endpoint presents a certificate that the application accepts
    When the application logs in at every endpoint and verifies its certificate
    Then every certificate is accepted

  @id.SE-03 @verified_tls @members
  Scenario: Every member presents a certificate that the application accepts
    When the application logs in at every member and verifies its certificate
    Then every certificate is accepted

  @id.SE-03 @verified_tls @network_login
  Scenario: The application rejects a certificate that was not signed by the authority it trusts
    Given every endpoint accepts the application's login
    When the application trusts a different authority only, and logs in at every endpoint
    Then the application rejects the certificate of each endpoint

  @id.SE-06 @certificates
  Scenario: Every certificate in use is valid for 14 more days
    When the certificates in use are read
    Then every certificate is valid for 14 more days

  @id.SE-06 @peer_certificates
  Scenario: Every certificate that members of the DCS present to one another is valid for 14 more days
    When the certificates that members of the DCS present to one another are read
    Then every certificate is valid for 14 more days

  @id.SE-06 @tls @members @admin
  Scenario: Every member has loaded the certificate that is in its file
    When the certificate of each member is compared with its file
    Then each member presents the certificate that is in its file
