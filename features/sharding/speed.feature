@citus @sharded_entries @several_workers @nodes @schema @normal
Feature: Queries on sharded tables are answered in time
  A query within one namespace is work for one machine, whatever the size of the cluster. A query over everything runs
  on all machines at once, and is as slow as the slowest of them.

  @id.PF-03 @related @json
  Scenario: A join within one namespace takes under 500 ms
    Given 400 entries over 20 namespaces, on more than one worker
    And a pattern for each topic in each of these namespaces
    When the entries of one namespace are joined with its patterns, 100 times
    Then every join was answered correctly
    And 95 in 100 joins took under 500 ms

  @id.PF-04 @json
  Scenario: A query over every shard takes under 1 second, and every worker takes part in it
    Given 400 entries over 20 namespaces, on more than one worker
    When the entries of all shards are summed by topic, 100 times
    Then every query was answered correctly
    And every worker took part in it
    And 95 in 100 queries took under 1000 ms
