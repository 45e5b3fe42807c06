@citus @sharded_entries @several_workers @nodes @schema @own_tables @destructive @slow
Feature: Shards are moved and rebalanced while clients write
  A cluster grows when a new worker takes its share of the shards. This must be possible while users work: a team that
  has to stop the service for it puts it off until it is too late.

  @id.RB-03 @admin @critical
  Scenario: Draining empties a worker group while clients write
    Given two co-located tables of 8 shards, and a client that writes to each shard
    When one worker group is drained
    Then it holds none of their shards
    And co-located shards are still together
    And no write acknowledged in the meantime is lost

  @id.RB-03 @admin @spare_worker @critical
  Scenario: A new worker that joins gets its share of the shards while clients write
    Given two co-located tables of 8 shards, and a client that writes to each shard
    When a new worker joins, and the tables are rebalanced
    Then the 8 shards of each table are spread over all workers, and co-located shards are together
    And no write acknowledged in the meantime is lost
    And the new worker knows every table, and answers queries as the coordinator does
    And another rebalance moves nothing

  @id.RB-03 @admin @spare_worker @critical
  Scenario: A worker that leaves takes no shard and no write with it
    Given two co-located tables of 8 shards, and a client that writes to each shard
    And a new worker that holds its share of their shards
    When that worker is drained and removed
    Then co-located shards are still together
    And no write acknowledged in the meantime is lost
    And no node knows that worker any more

  @id.RB-03 @admin @critical
  Scenario: A worker group that may hold shards again gets its share of them while clients write
    Given two co-located tables of 8 shards, and a client that writes to each shard
    And a worker group that holds none of their shards
    When that worker group may hold shards again, and the tables are rebalanced
    Then the 8 shards of each table are spread over all workers, and co-located shards are together
    And no write acknowledged in the meantime is lost
    And another rebalance moves nothing

  @id.RB-04 @patroni @haproxy @members @critical
  Scenario Outline: A shard move that dies halfway changes nothing, and works when retried: <who> is killed
    Given a healthy cluster
    And two co-located tables of 8 shards, one shard with 10000 rows
    When that shard is moved to another worker group, and <who> is killed halfway
    Then the move fails
    And within 60 seconds every shard and every row is where it was, and nothing of the move is left
    And the same move works when it is retried

    @backends
    Examples:
      | who                             |
      | the session that moves it       |

    @hosts
    Examples:
      | who                             |
      | PostgreSQL on the source worker |
      | PostgreSQL on the target worker |

  @id.RB-05 @admin @patroni @haproxy @members @critical
  Scenario Outline: An interrupted rebalance does not prevent a later one: <how>
    Given a healthy cluster
    And two co-located tables of 8 shards, one shard with 10000 rows
    When one worker group is drained, and halfway <how>
    Then within 60 seconds every row is on one worker, and nothing of the rebalance is left
    And the same worker group is drained on the second attempt

    @backends
    Examples:
      | how                        |
      | the rebalance is cancelled |

    @hosts
    Examples:
      | how                                     |
      | PostgreSQL of the coordinator is killed |

    @hosts @crashes @replicas
    Examples:
      | how                                 |
      | the host of the coordinator crashes |
