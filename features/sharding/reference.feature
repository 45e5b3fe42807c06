@citus @workers @nodes @schema @critical
Feature: Every node has an up-to-date copy of each reference table
  A small table that is joined with everything is copied to every node. A node whose copy is out of date answers the
  same question differently from the others.

  @id.RT-01 @reference
  Scenario: A reference row is on every node as soon as its commit is acknowledged
    When rows of a reference table are inserted, updated and deleted
    Then the copy on each node is up to date, read there at once

  @id.RT-02 @sharded_entries @reference @json @several_workers
  Scenario: A join with a reference table moves no rows and is correct
    Given 200 entries over 20 namespaces, on more than one worker
    And a reference table with a row for each of their topics
    When the entries are joined with it
    Then the join is one task for each shard, and no rows are moved first
    And every answer is correct

  @id.RT-03 @reference @several_copies
  Scenario: All copies of every reference table hold the same rows
    Then all copies of each reference table hold the same rows

  @id.RT-03 @reference @computed_reference @several_copies
  Scenario: Values that a reference table computes are the same in every copy
    When rows of a reference table are inserted, updated and deleted
    Then all copies of each reference table hold the same rows
