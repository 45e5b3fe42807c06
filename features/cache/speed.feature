@redis @cache_keys @schema @normal
Feature: The cache is fast
  A cache that is no faster than the database is only one more thing that can fail. The scenarios read often enough that a
  machine which is busy with something else for a second does not change the verdict.

  @id.PF-05
  Scenario: A cached read is fast, and faster than the same read from the database
    Given a client of the cache
    When an entry is read alternately from the cache and from the database, 3000 times each
    Then 95 in 100 cached reads took under 5 ms
    And the median cached read was faster than the median database read

  @id.PF-06
  Scenario: The cache serves over 1000 reads a second to one client
    Given a client of the cache
    When a cached entry is read from the cache for 3 seconds
    Then the cache handled over 1000 operations a second

  @id.PF-06
  Scenario: The cache accepts over 1000 writes a second from one client
    Given a client of the cache
    When new query results are stored in the cache for 3 seconds
    Then the cache handled over 1000 operations a second
