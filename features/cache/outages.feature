@redis @cache_keys @schema @patroni @haproxy @members @destructive @slow @critical
Feature: The cache survives outages of Redis and failovers of the database
  The cache exists for speed. Without Redis the application may only become slower, and only by a bounded time. After a
  failover of the database the cache must not go on serving data that the database no longer has.

  @id.OU-01
  Scenario Outline: An outage of Redis only slows its clients briefly: Redis <fails>
    Given a healthy cluster
    And 2 clients of a cache with a staleness bound of 4 seconds
    When Redis <fails> for a while, and every client of the cache keeps reading and writing
    Then no cache operation failed or took 0.9 seconds or longer, and each client saw its own writes
    And no read from the cache served a value that had been replaced for over 4 seconds
    And every client of the cache has a hit again within 5 seconds

    @cache_settings
    Examples:
      | fails               |
      | is full             |
      | refuses every write |

    @redis_failover
    Examples:
      | fails              |
      | fails over         |

    @cache_host
    Examples:
      | fails              |
      | is killed          |
      | freezes            |

    @cache_host @volatile_cache
    Examples:
      | fails              |
      | is restarted empty |

  @id.OU-02 @hosts @partitions @proxy_host @proxy_apart
  Scenario: A write that a failover lost is served by the cache for no longer than the staleness bound
    While the old leader still led, clients read the write from it and cached it. No cache can know that the failover
    lost the write; all it can do is limit how long it serves any value.

    Given a healthy cluster
    And 2 clients of a cache with a staleness bound of 25 seconds
    When a failover loses a write to an entry that every client of the cache keeps reading
    Then the cache served the lost write for no more than 25 seconds after the old leader stopped
