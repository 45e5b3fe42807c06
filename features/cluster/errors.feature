@critical
Feature: Bad input is refused, clearly and in time
  A bad value that is stored is discovered months later; a login that hangs takes the application down with it. Both
  must fail at once and say why.

  @id.ER-01 @vector @schema
  Scenario Outline: An embedding of <size> is refused
    When an entry with an embedding of <size> is stored
    Then it is refused because of its dimensions
    And nothing is stored

    Examples:
      | size                   |
      | 2 dimensions           |
      | one dimension too few  |
      | one dimension too many |

  @id.ER-01 @vector @schema
  Scenario: An embedding of the right size is accepted
    When an entry with an embedding of the right size is stored
    Then it is accepted
    And another session reads it back unchanged

  @id.ER-02 @schema @application_schema @unique_key
  Scenario: A second entry under the same key is refused, and the first one stays
    Given a stored entry
    When another entry is stored under the same key
    Then it is refused as a unique violation
    And another session reads the first one back unchanged

  @id.ER-02 @application_schema @declared_keys
  Scenario: Every key that the application relies on is unique
    Then every key of the application's schema is unique

  @id.ER-03
  Scenario: A login to a host that accepts connections but never answers fails in time
    Given a host that accepts connections and never answers
    When the application logs in there with a limit of 2 seconds
    Then the login fails within 4 seconds
    And the error names the host
    And the host had accepted the connection
