@redis @critical
Feature: Redis is fit to be a cache
  The application's cache is only as good as the Redis server behind it. A replica refuses writes. A server without a
  memory limit takes its machine down. A server that does not evict stops storing when it is full.

  @id.RC-01 @cache_state @cache_keys @blocker @smoke
  Scenario: Redis is a primary that accepts writes
    When Redis reports its state
    Then Redis is a primary
    And Redis accepts a write

  @id.RC-02 @cache_state @normal
  Scenario: Redis is a supported version in the expected mode
    When Redis reports its state
    Then Redis has version 7 or newer, or is Valkey
    And Redis is in standalone mode

  @id.RC-03 @cache_state
  Scenario: Redis is set to evict by LRU or LFU under a finite memory limit
    When Redis reports its state
    Then Redis evicts by LRU or LFU
    And Redis has a finite memory limit

  @id.RC-03 @cache_state @cache_keys @small_cache @schema @destructive
  Scenario: Under memory pressure Redis evicts entries and keeps working
    Given 2 clients of the cache
    When more data is stored in Redis than its memory limit allows
    Then Redis evicted keys and refused no write
    And Redis stayed within its memory limit
    And the cache still stores new entries and serves them
