@schema @critical
Feature: A namespace never sees another's entries
  Many tenants share the tables, and only the namespace keeps them apart. Their keys are the same often enough, and
  the entry nearest to what one of them searches for may well be another's.

  Background:
    Given two namespaces with different entries under the same keys

  @id.DA-04
  Scenario: A key leads to the entry of its own namespace
    When the first namespace reads every key
    Then it finds its own entries and no others

  @id.DA-04 @vector
  Scenario: A search finds entries of its own namespace, though another's are nearer
    When the first namespace searches for the nearest 10 to each entry of the second
    Then every search finds 10 entries, all of the first namespace

  @id.DA-04
  Scenario: An update changes entries of its own namespace
    When the first namespace updates every key
    Then all of its own entries are changed
    And the entries of the second namespace are unchanged

  @id.DA-04
  Scenario: A delete removes entries of its own namespace
    When the first namespace deletes every key
    Then none of its own entries are left
    And the entries of the second namespace are unchanged
