@citus @nodes @schema @critical
Feature: A transaction over several workers is one transaction
  Its statements are carried out by servers that know nothing of one another. To its client it must be as if there
  were one: all of it is taken back when it is taken back, and whoever blocks another for ever is told so.

  @id.DT-02
  Scenario: A rollback leaves nothing on any worker
    Given a transaction that has stored, changed and removed entries on several workers
    When the transaction rolls back
    Then each worker holds what it held before

  @id.DT-03
  Scenario: Of two sessions that block each other over two workers exactly one is cancelled
    Given two sessions that have each changed an entry, on a worker of its own
    When each of them goes on to change the other's entry
    Then exactly one is cancelled because of the deadlock, within 10 seconds
    And both entries are as the other one committed them
