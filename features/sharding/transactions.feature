@citus @sharded_entries @several_workers @nodes @schema @critical
Feature: A transaction over several workers is one transaction
  Its statements run on servers that know nothing about one another. To the client it must be a single transaction: a
  rollback undoes all of it, and a deadlock between two such transactions is detected and reported.

  @id.DT-02 @smoke
  Scenario: A rollback leaves nothing on any worker
    Given a transaction that has inserted, updated and deleted entries on several workers
    When the transaction rolls back
    Then each worker holds what it held before

  @id.DT-03
  Scenario: A deadlock between two sessions over two workers is resolved: exactly one of them is cancelled
    Given two sessions that have each changed an entry on a different worker
    When each then changes the other's entry
    Then exactly one is cancelled because of the deadlock, within 10 seconds
    And both entries are as the other session committed them
