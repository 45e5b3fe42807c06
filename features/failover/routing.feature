@haproxy
Feature: Writes reach the primary and reads reach the replicas
  Applications know two endpoints and no members. A write that lands on a replica fails, and reads that all land on the
  primary overload it.

  @id.RW-01 @patroni @schema @blocker @smoke
  Scenario: Every session on the write endpoint is on the primary
    When 50 sessions are opened through the write endpoint
    Then each of them is on the leader, and not in recovery
    And a write on each of them is accepted

  @id.RW-02 @patroni @replicas @reads_apart @schema @critical
  Scenario: Every session on the read endpoint is on a replica
    When 50 sessions are opened through the read endpoint
    Then each of them is on a replica, and in recovery
    And a write on each of them is refused as read-only

  @id.RW-02 @patroni @serving_replicas @spread @critical
  Scenario: Every healthy replica serves reads
    When 50 sessions are opened through the read endpoint
    Then every healthy replica serves some of them, or has other sessions to serve

  @id.HP-01 @statistics @statistics_login @normal
  Scenario: The statistics page opens only with its own credentials
    Then the statistics page answers
      | visitor                    | answer  |
      | no credentials             | refused |
      | an unknown user            | refused |
      | the user, wrong password   | refused |
      | the user, right password   | served  |

  @id.HP-01 @statistics @pools @patroni @critical
  Scenario: HAProxy sees every server in the role that Patroni gives it
    Then HAProxy reports these member states
      | member                     | write | read       |
      | the leader                 | up    | down       |
      | a leader that serves reads | up    | up         |
      | a replica                  | down  | up         |
      | a late replica             | down  | down or up |
      | an excluded replica        | down  | down       |

  @id.HP-02 @schema @prompt_reads @blocker @smoke
  Scenario: What is written through the write endpoint is read through the read endpoint
    When a marker is written through the write endpoint
    Then the marker is seen through the write endpoint
    And the marker becomes visible through the read endpoint within 5 seconds
