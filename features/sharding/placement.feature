@citus @nodes @schema
Feature: Every shard and every row is where it should be
  Shards that sit on one machine make a cluster of one machine. A row that is in another shard than its namespace
  hashes to is there and is never found.

  @id.SD-01 @application_schema @declared_sharding @critical
  Scenario: Each distributed table has 32 shards, spread over all workers
    Then each distributed table has 32 shards, spread over all workers to within 10 percent
    And each shard is on the node that the coordinator names, and on no other

  @id.SD-02 @blocker
  Scenario: An entry is stored in the shard that its namespace hashes to, and asked for there alone
    When an entry is stored in each of 40 namespaces
    Then each is in the one shard that its namespace hashes to, read on the workers
    And a query for any one of the namespaces is a single task, where that lies

  @id.SD-03 @json @related @critical
  Scenario: What is joined on the namespace is joined where it lies
    Given 400 entries over 20 namespaces, on more than one worker
    And a pattern for each topic in each of these namespaces
    When the entries of all namespaces are joined with their patterns
    Then each task joins two shards that lie together, and nothing is moved before
    And every answer is the right one

  @id.RB-01 @application_schema @declared_sharding @blocker
  Scenario: Every shard has exactly one active placement, on a live node
    Then each shard is on the node that the coordinator names, and on no other

  @id.RB-02 @application_schema @declared_sharding @normal
  Scenario: The size of every shard is known, and none is much larger than the others
    Given 5000 entries over 1000 namespaces, in a table of their own that is sharded as the application's
    Then the size of every shard of the application's tables is known
    And no shard of that table is more than 3 times as large as the mean
