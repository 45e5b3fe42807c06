@schema @critical
Feature: A session can rely on what it has seen
  Users expect to find what they have stored, and expect what they have seen not to disappear. Replicas are always a
  little behind. What is promised is how far behind, and that a session never goes back in time.

  @id.IS-03 @smoke
  Scenario: A session on the write endpoint sees its own writes
    When 8 clients each write an entry of their own 50 times, and read it after each write
    Then each of them saw its own writes at once

  @id.IS-03 @haproxy @replicas @prompt_reads @read_backends
  Scenario: A session on the read endpoint never sees an older version than before
    When 4 clients read an entry 250 times each through the read endpoint, while it changes
    Then none of them saw an older version than before

  @id.IS-03 @haproxy @replicas @prompt_reads
  Scenario: Each endpoint shows within 5 seconds what the other one has
    When each endpoint is asked 100 times for what the other one has
    Then it shows that within 5 seconds
