@citus @nodes @schema @normal
Feature: Answers come in time from many shards
  One namespace is one machine's work, whatever the size of the cluster. A query over everything is done by all
  machines at once, and waits for the slowest.

  @id.PF-03
  Scenario: A join within one namespace takes under 500 ms
    Given 400 entries over 20 namespaces, on more than one worker
    And a pattern for each topic in each of these namespaces
    When the entries of one namespace are joined with its patterns, 100 times
    Then every join was answered right
    And 95 in 100 joins took under 500 ms

  @id.PF-04
  Scenario: A query over every shard takes under 1 second, and every worker has a part in it
    Given 400 entries over 20 namespaces, on more than one worker
    When the entries of all shards are summed up by topic, 100 times
    Then every query was answered right
    And every worker had a part in it
    And 95 in 100 queries took under 1000 ms
