@redis @critical
Feature: Redis is fit to be a cache
  The application's cache is only as good as the server below it. One that is a replica refuses to store, one without
  a memory limit takes the machine down, and one that does not evict stops storing when it is full.

  @id.RC-01 @blocker
  Scenario: Redis answers, as a primary that takes writes
    When Redis is asked what it is
    Then Redis is a primary
    And Redis takes a write

  @id.RC-02 @normal
  Scenario: Redis is a supported version in the expected mode
    When Redis is asked what it is
    Then Redis has version 7 or newer, or is Valkey
    And Redis is in standalone mode

  @id.RC-03
  Scenario: Redis is set to evict by LRU or LFU under a finite memory limit
    When Redis is asked what it is
    Then Redis evicts by LRU or LFU
    And Redis has a finite memory limit

  @id.RC-03 @hosts @schema
  Scenario: Under memory pressure Redis evicts and goes on
    Given 2 clients of the cache
    When more is stored in Redis than its memory holds
    Then Redis evicted keys and refused none
    And Redis stayed within its memory limit
    And the cache goes on to take new entries and to serve them
