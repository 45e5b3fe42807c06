@redis @schema @patroni @haproxy @members @hosts @destructive @slow @critical
Feature: The cache outlasts the failures of what it stands on
  A cache is there for speed. When Redis is gone the application must only get slower, by a bounded time, and when the
  database has failed over the cache must not be the last place where the lost world is still told of.

  @id.OU-01
  Scenario Outline: An outage of Redis costs its clients a little time: Redis <fails>
    Given a healthy cluster
    And 2 clients of a cache with a staleness bound of 4 seconds
    When Redis <fails> for a while, and every client of the cache reads and writes all the time
    Then no operation on the cache failed or took 0.9 seconds, and each client saw its own writes
    And no read from the cache served a value that had been replaced for over 4 seconds
    And every client of the cache has a hit again within 5 seconds

    Examples:
      | fails              |
      | is killed          |
      | freezes            |
      | is restarted empty |
      | is full            |

  @id.OU-02 @partitions
  Scenario: A change that a failover took back is served for no longer than the staleness bound
    A change that only the old leader held was read from it, and cached, as long as it led. No cache can tell that such
    a change is lost; what it can do is to serve nothing for longer than it may.

    Given a healthy cluster
    And 2 clients of a cache with a staleness bound of 25 seconds
    When a failover takes back a change of an entry that every client of the cache reads all the time
    Then no read from the cache served that change for over 25 seconds after the failover
