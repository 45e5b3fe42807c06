@critical
Feature: The application can do its work and no more
  Who breaks into the application has its login. What that login cannot do is what the break-in cannot do.

  @id.SE-02 @admin @members
  Scenario: Every stored password is a SCRAM verifier
    Then every password of a role that can log in is stored as SCRAM
    And every member has these settings for the application
      | setting             | value         |
      | password_encryption | scram-sha-256 |

  @id.SE-02
  Scenario: The application's role has no power over the server
    Then the application's role can, by itself or through another role
      | power                       | answer |
      | be a superuser              | no     |
      | create roles                | no     |
      | create databases            | no     |
      | copy the whole cluster      | no     |
      | pass over row security      | no     |
      | read files of the server    | no     |
      | write files of the server   | no     |
      | run programs on the server  | no     |
      | end the sessions of others  | no     |

  @id.SE-02 @schema
  Scenario: The application's role is refused what only an administrator may do
    When the application's role tries to
      | deed                                    |
      | read a file of the server               |
      | list a directory of the server          |
      | load a file of the server into a table  |
      | write a file on the server              |
      | run a program on the server             |
      | create a role                           |
      | become the first superuser              |
      | see the stored passwords                |
      | switch off triggers and constraints     |
      | reload the server's configuration       |
      | load code into the server               |
    Then each deed is refused for want of privilege
