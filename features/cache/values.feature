@redis @cache_keys @schema @critical
Feature: The cache returns exactly what was stored in it
  A cache stands between the application and its data. It must return what was stored: the same value, of the same type,
  under its own key, until its time to live ends and no longer.

  @id.CO-01
  Scenario: A cached value comes back unchanged, whatever its type
    Given 2 clients of the cache
    When query results of these types are requested twice through the cache
      | type                             |
      | text                             |
      | an empty text                    |
      | text in many scripts             |
      | text that looks like a number    |
      | bytes                            |
      | an integer                       |
      | an integer beyond 64 bits        |
      | a floating-point number          |
      | negative zero                    |
      | NaN                              |
      | infinity                         |
      | true                             |
      | false                            |
      | null                             |
      | a decimal number                 |
      | a timestamp                      |
      | a timestamp in another time zone |
      | a timestamp without a time zone  |
      | a date                           |
      | a UUID                           |
      | a list                           |
      | a nested document                |
      | a vector as a list               |
      | a vector as an array             |
    Then the second client gets each value unchanged, as a cache hit
    And the first client gets each value unchanged, too

  @id.CO-02
  Scenario: A cached entry expires when its time to live ends, and not before
    Given a client of a cache with a time to live of 1.5 seconds
    When a cached entry is changed directly in the database, and read for 2 seconds
    Then the cache served the old value for 1.5 seconds and no longer

  @id.CO-02
  Scenario: No key of the cache is without an expiry
    Given a client of a cache with a time to live of 30 seconds
    When entries and query results are cached by every operation
    Then every key of the cache in Redis expires within 30 seconds

  @id.CO-03
  Scenario: A deleted entry is gone for every client of the cache
    Given 3 clients of the cache
    And an entry that all clients of the cache have read
    When one client deletes the entry from the cache and the database
    Then no client of the cache finds the entry

  @id.CO-04 @normal @one_redis
  Scenario: Many cached entries are read in one round trip
    Given a client of the cache whose round trips to Redis are counted
    When 100 cached entries are read at once
    Then that took at most 1 round trip to Redis
    And all these entries are hits, unchanged

  @id.CO-04 @normal @one_redis
  Scenario: Storing many entries takes no more round trips than storing one
    Given a client of the cache whose round trips to Redis are counted
    When 1 entry, and then 100 entries at once, are stored through the cache
    Then storing them at once took no more round trips to Redis than storing one
    And all these entries are hits, unchanged

  @id.CO-04
  Scenario: Query results for different namespaces, tables and parameters never collide in the cache
    Given 2 clients of the cache
    When queries that differ only in namespace, table or parameters go through the cache twice
    Then the second client gets each value unchanged, as a cache hit

  @id.CO-04 @any_key
  Scenario: Entries whose namespaces and keys look alike never collide in the cache
    Given 2 clients of the cache
    When entries are cached whose namespaces and keys are the same text when joined
    Then the second client gets each value unchanged, as a cache hit
