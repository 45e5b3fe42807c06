@citus @nodes @schema @destructive @slow
Feature: Shards move while the cluster works
  A cluster grows by a worker that takes its part of the shards. That is done while people work; whoever has to stop
  for it puts it off until it is too late.

  @id.RB-03 @admin @critical
  Scenario: Draining empties a worker group while clients write
    Given two tables of 8 shards that lie together, and a client that writes to each shard
    When one worker group is drained of them
    Then it has none of their shards
    And shards that belong together are together
    And no write that was acknowledged meanwhile is lost

  @id.RB-03 @admin @critical
  Scenario: A worker group that joins gets its part of the shards while clients write
    Given two tables of 8 shards that lie together, and a client that writes to each shard
    And a worker group that has none of them
    When it takes shards, and they are rebalanced
    Then the 8 shards of each table are spread over all workers, and those that belong together are together
    And no write that was acknowledged meanwhile is lost
    And a further rebalance moves nothing

  @id.RB-04 @patroni @haproxy @hosts @critical
  Scenario Outline: A shard move that dies half-way changes nothing, and works when retried: <victim> is killed
    Given a healthy cluster
    And two tables of 8 shards that lie together, one of them with 10000 rows
    When it is moved to another worker group, and half-way <victim> is killed
    Then the move fails
    And within 60 seconds every shard and every row is where it was, and nothing of the move is left
    And the same move works when it is asked for again

    Examples:
      | victim                         |
      | the session that moves it      |
      | PostgreSQL where it comes from |
      | PostgreSQL where it goes to    |
