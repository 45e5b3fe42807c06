@citus @nodes @schema @critical
Feature: What lies on several workers is asked for as if it were one
  Nobody who asks need know that the rows lie on many machines: the answer is the one that a single machine with all
  the rows would give. One that is nearly right, because a worker was left out, looks like any other.

  @id.DQ-01
  Scenario: Entries of many namespaces are shared out among the workers, and none is lost or doubled
    When 100 entries over 10 namespaces are stored
    Then they lie on more than one worker
    And all workers together hold each of them, once

  @id.DQ-02 @json
  Scenario: Totals over all shards are those of the stored entries
    Given 400 entries over 20 namespaces, on more than one worker
    When they are counted and summed up by topic
    Then every answer is the right one

  @id.DQ-03 @vector
  Scenario: The nearest entries of all shards are found by the index on every shard
    Given 1000 entries over 40 namespaces, on more than one worker
    When the nearest 10 entries of all shards are searched for, 100 times
    Then every shard was searched by its HNSW index for cosine distance
    And each answer is in the order of the true distances
    And the recall at 10 is at least 0.99
    And 95 in 100 searches took under 100 ms

  @id.DQ-04 @json @related @graph @reference
  Scenario: Random queries are answered on shards as on tables that are not sharded
    Given the same rows in sharded tables, on more than one worker, and in tables that are not
    When 100 random queries are put to both
    Then every answer is the right one
