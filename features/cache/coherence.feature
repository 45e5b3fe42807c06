@redis @cache_keys @schema @blocker
Feature: The cache serves what the database holds
  A stale cache is worse than none: nobody notices it until it has done damage. However reads and writes overlap, the
  database is authoritative, and the cache may lag behind it only for a bounded time.

  @id.CD-01 @smoke
  Scenario: After concurrent reads and writes the cache serves what the database holds
    Given 2 clients of the cache
    When 8 threads read and change 10 entries through the cache, 200 times each
    Then every client of the cache is served what the database holds
    And there were hits, misses, writes and rollbacks, and no operation failed

  @id.CD-02
  Scenario: After an update commits the old value is served for at most the staleness bound
    Given 2 clients of a cache with a staleness bound of 1.2 seconds
    When an entry is updated with and without the cache, and every client keeps reading it for over 1.2 seconds
    Then no read from the cache served a value that had been replaced for over 1.2 seconds

  @id.CD-02
  Scenario Outline: A cache miss that races with a commit leaves no stale value behind: one client <changes>
    Given 2 clients of the cache
    When one client <changes> an entry while another client's miss is still loading the old value
    Then every later read from the cache serves the value that was committed last

    Examples:
      | changes    |
      | updates    |
      | overwrites |
      | deletes    |

  @id.CD-03 @critical
  Scenario: A missing entry is loaded from the database once, however many clients ask for it at the same time
    This is the cache stampede: without protection, every client that misses sends its own query to the database.

    Given 2 clients of the cache
    And an entry that is not cached
    When 40 readers ask the cache for the entry while the database takes 0.3 seconds to answer
    Then the entry was loaded from the database once
    And every read from the cache served the entry

  @id.CD-04
  Scenario: A write that is rolled back is never served by the cache
    Given 2 clients of the cache
    When entries are changed in transactions that are rolled back, while every client of the cache reads them
    Then no read from the cache served what was rolled back
    And every client of the cache is served what the database holds

  @id.ST-01 @critical
  Scenario: After a write has returned the next read is a hit with the new value (write-through)
    Given 2 clients of the cache
    When one client writes an entry 30 times, and every client of the cache reads it after each write
    Then every read was a hit with the value just written

  @id.ST-02 @critical
  Scenario: The first read is a miss that fills the cache, and the second is a hit (cache-aside)
    Given 2 clients of the cache
    And an entry that is not cached
    When one client of the cache reads the entry, and then another does
    Then the first read is a miss, and the second is a hit
    And the entry was loaded from the database once
    And every read from the cache served the entry

  @id.CD-05 @slow @critical
  Scenario: A cache that is emptied under load refills without flooding the database
    Given 2 clients of the cache
    And 1000 entries that are cached
    When the cache is emptied while 40 readers read the entries
    Then no entry was loaded from the database more than 2 times
    And nine in ten reads are hits again within 15 seconds
