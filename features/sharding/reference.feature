@citus @nodes @schema @critical
Feature: Reference tables are at hand on every node
  What is small and joined with everything is kept on every node. A node whose copy is behind gives another answer
  than the others, to the very same question.

  @id.RT-01 @reference
  Scenario: A reference row is on every node as soon as its commit is acknowledged
    When rows of a reference table are stored, changed and removed
    Then each node holds what the table should hold, read there at once

  @id.RT-02 @reference @json
  Scenario: A join with a reference table moves no rows, and is right
    Given 200 entries over 20 namespaces, on more than one worker
    And a reference table with a row for each of their topics
    When the entries are joined with it
    Then the join is one task for each shard, and nothing is moved before
    And every answer is the right one
