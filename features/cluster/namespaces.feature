@schema @critical
Feature: A namespace never sees another's entries
  Many tenants share the tables, and only the namespace separates them. Tenants often use the same keys, and the entry
  nearest to a tenant's search may well belong to another.

  Background:
    Given two namespaces with different entries under the same keys

  @id.DA-04
  Scenario: Reading a key returns the entry of its own namespace
    When the first namespace reads every key
    Then it finds its own entries and no others

  @id.DA-04 @vector
  Scenario: A search returns entries of its own namespace, even if another's are nearer
    When the first namespace searches for the nearest 10 to each entry of the second
    Then every search finds 10 entries, all of the first namespace

  @id.DA-04
  Scenario: An update changes only entries of its own namespace
    When the first namespace updates every key
    Then all of its own entries are changed
    And the entries of the second namespace are unchanged

  @id.DA-04
  Scenario: A delete removes only entries of its own namespace
    When the first namespace deletes every key
    Then none of its own entries are left
    And the entries of the second namespace are unchanged
