@citus @sharded_entries @several_workers @nodes @schema @critical
Feature: Queries over several workers answer as a single database would
  Users need not know that the rows are on many machines: a query must return what one machine with all the rows would
  return. An answer that lacks the rows of one worker looks like any other answer.

  @id.DQ-01
  Scenario: Entries of many namespaces are spread over the workers, and none is lost or duplicated
    When 100 entries over 10 namespaces are stored
    Then they are on more than one worker
    And the workers together hold each of them exactly once

  @id.DQ-02 @json
  Scenario: Totals over all shards match the stored entries
    Given 400 entries over 20 namespaces, on more than one worker
    When they are counted and summed by topic
    Then every answer is correct

  @id.DQ-03 @vector @indexed_embedding
  Scenario: A nearest-neighbour search over all shards uses the vector index of every shard
    Given 1000 entries over 40 namespaces, on more than one worker
    When the nearest 10 entries of all shards are searched for, 100 times
    Then every shard was searched by its HNSW index for cosine distance
    And each answer is in the order of the true distances
    And the recall at 10 is at least 0.99
    And 95 in 100 searches took under 100 ms

  @id.DQ-04 @json @related @graph @reference @own_tables
  Scenario: Random queries get the same answers from sharded tables as from unsharded ones
    Given the same rows in sharded tables, on more than one worker, and in unsharded tables
    When 100 random queries are run on both
    Then every answer is correct
