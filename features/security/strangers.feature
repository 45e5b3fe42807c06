@critical
Feature: Who has no login orders nothing
  A handover at noon, an emptied cache: who can order such things needs no password of the database to end the service.
  What is ordered here would change nothing if it were obeyed.

  @id.SE-04 @patroni @patroni_login
  Scenario Outline: Patroni takes no order from a stranger with <login>
    Given every Patroni takes orders with the right login
    When a stranger with <login> orders every Patroni to
      | order                    |
      | change the configuration |
      | hand over the leadership |
      | take over the leadership |
      | restart PostgreSQL       |
      | read its file again      |
      | call off a handover      |
    Then each of these orders is refused for want of a login

    Examples:
      | login            |
      | no login         |
      | a wrong password |

  @id.SE-04 @redis @redis_password
  Scenario Outline: Redis takes no command from a stranger with <login>
    Given Redis takes commands with the right login
    When a stranger with <login> commands Redis to
      | command             |
      | read a key          |
      | store a key         |
      | delete a key        |
      | tell its settings   |
      | tell who is there   |
      | run a script        |
    Then each of these commands is refused for want of a login

    Examples:
      | login            |
      | no login         |
      | a wrong password |
