@redis @schema @critical
Feature: The cache keeps what it is given
  A cache stands between the application and its data. What comes out of it must be what went in: the same value, of
  the same type, under its own key, for as long as it was to be kept and no longer.

  @id.CO-01
  Scenario: A cached value comes back unchanged, whatever its type
    Given 2 clients of the cache
    When the cache is asked twice for answers of these kinds
      | kind                          |
      | text                          |
      | an empty text                 |
      | text in many scripts          |
      | text that looks like a number |
      | bytes                         |
      | a whole number                |
      | a whole number beyond 64 bits |
      | a number with a fraction      |
      | negative zero                 |
      | not a number                  |
      | infinity                      |
      | true                          |
      | false                         |
      | nothing                       |
      | a decimal number              |
      | a moment                      |
      | a moment in another zone      |
      | a moment without a zone       |
      | a day                         |
      | a UUID                        |
      | a list                        |
      | a nested document             |
      | a vector as a list            |
      | a vector as an array          |
    Then the second time every answer comes out of the cache, unchanged
    And the first time it is the same

  @id.CO-02
  Scenario: A cached entry is gone when its time to live ends, and not before
    Given a client of a cache whose entries live for 1.5 seconds
    When a cached entry is changed behind the cache's back, and read for 2 seconds
    Then the cache served the old value for 1.5 seconds and no longer

  @id.CO-02
  Scenario: No key of the cache is without an expiry
    Given a client of a cache whose entries live for 30 seconds
    When entries and answers are cached in every way
    Then every key of the cache in Redis ends within 30 seconds

  @id.CO-03
  Scenario: A deleted entry is gone for every client of the cache
    Given 3 clients of the cache
    And an entry that all clients of the cache have read
    When one client deletes the entry from the cache and the database
    Then no client of the cache finds the entry

  @id.CO-04 @normal
  Scenario: Many cached entries are read in one round trip
    Given a client of the cache whose round trips to Redis are counted
    When 100 cached entries are read at once
    Then that took 1 round trip to Redis
    And all of them come out of the cache, unchanged

  @id.CO-04 @normal
  Scenario: Many entries are stored in as many round trips as one
    Given a client of the cache whose round trips to Redis are counted
    When 1 entry, and then 100 entries at once, are stored through the cache
    Then all at once took no more round trips to Redis than the one
    And all of them come out of the cache, unchanged

  @id.CO-04
  Scenario: Answers of different namespaces, tables and parameters never collide in the cache
    Given 2 clients of the cache
    When the cache is asked questions that differ in namespace, table or parameters alone
    Then the second time every answer comes out of the cache, unchanged

  @id.CO-04
  Scenario: Entries whose namespaces and keys are alike never collide in the cache
    Given 2 clients of the cache
    When entries are cached whose namespaces and keys are alike when joined
    Then the second time every answer comes out of the cache, unchanged
