@critical
Feature: Without a login nobody can control Patroni or Redis
  Someone who can start a switchover or empty the cache can interrupt the service without any password of the database.
  The requests and commands of these scenarios are harmless even if they are accepted.

  @id.SE-04 @patroni @patroni_commands @patroni_login
  Scenario Outline: Patroni refuses unauthenticated requests: <login>
    Given every Patroni accepts requests with the right login
    When a client with <login> sends every Patroni requests to
      | request                  |
      | change the configuration |
      | start a switchover       |
      | start a failover         |
      | restart PostgreSQL       |
      | reload its configuration |
      | cancel a switchover      |
    Then every request is refused as unauthenticated

    Examples:
      | login            |
      | no login         |
      | a wrong password |

  @id.SE-04 @redis @redis_password
  Scenario Outline: Redis refuses unauthenticated commands: <login>
    Given Redis accepts commands with the right login
    When a client with <login> sends Redis commands to
      | command           |
      | read a key        |
      | store a key       |
      | delete a key      |
      | show its settings |
      | list its clients  |
      | run a script      |
    Then every command is refused as unauthenticated

    Examples:
      | login            |
      | no login         |
      | a wrong password |
