@citus @workers @nodes @schema
Feature: Every shard and every row is where it should be
  If all shards are on one machine, the cluster has the capacity of one machine. And a row in the wrong shard is stored
  but never found: queries look for it only in the shard that its namespace hashes to.

  @id.SD-01 @application_schema @declared_sharding @critical
  Scenario: Each distributed table has 32 shards, spread over all workers
    Then each distributed table has 32 shards, spread over all workers to within 10 percent
    And each shard is on the node that the coordinator lists for it, and on no other

  @id.SD-02 @sharded_entries @blocker @smoke
  Scenario: An entry is stored in the shard that its namespace hashes to, and a query for it goes to that shard only
    When an entry is stored in each of 40 namespaces
    Then each is in the shard that its namespace hashes to and in no other, read on the workers
    And a query for one of the namespaces is a single task, on the node and the shard that hold it

  @id.SD-03 @sharded_entries @json @related @several_workers @critical
  Scenario: A join on the namespace runs on the workers that hold the co-located shards
    Given 400 entries over 20 namespaces, on more than one worker
    And a pattern for each topic in each of these namespaces
    When the entries of all namespaces are joined with their patterns
    Then each task joins two co-located shards, and no rows are moved first
    And every answer is correct

  @id.RB-01 @application_schema @declared_sharding @blocker
  Scenario: Every shard has exactly one active placement, on a live node
    Then each shard is on the node that the coordinator lists for it, and on no other

  @id.RB-02 @application_schema @declared_sharding @sharded_entries @own_tables @normal
  Scenario: The size of every shard is known, and none is much larger than the others
    Given 5000 entries over 1000 namespaces, in a separate table sharded like the application's
    Then the size of every shard of the application's tables is known
    And no shard of that table is larger than 3 times the mean
