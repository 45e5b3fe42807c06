@patroni
Feature: Every member is up and reports its own state correctly
  Proxies, operators and failovers rely on what the members report about themselves. A member that is down, frozen or
  wrong about its role turns the next fault into an outage.

  @id.PH-01 @members @critical
  Scenario: Every member answers each health check according to its true role
    Then every member answers each health check according to its true role
      | check                         | leader | synchronous standby | quorum standby | asynchronous replica | excluded replica |
      | the primary                   | yes    | no                  | no             | no                   | no               |
      | the holder of the leader lock | yes    | no                  | no             | no                   | no               |
      | a replica                     | no     | yes                 | yes            | yes                  | no               |
      | able to serve reads           | yes    | yes                 | yes            | yes                  | no               |
      | a synchronous standby         | no     | yes                 | no             | no                   | no               |
      | a quorum standby              | no     | no                  | yes            | no                   | no               |
      | an asynchronous replica       | no     | no                  | no             | yes                  | no               |
      | healthy                       | yes    | yes                 | yes            | yes                  | yes              |
      | alive                         | yes    | yes                 | yes            | yes                  | yes              |

  @id.PH-03 @replicas @blocker
  Scenario: Every replica streams on the timeline of the leader
    Then every member is in the state that its role requires
      | member                           | role    | PostgreSQL | replication         | timeline     |
      | the leader                       | leader  | running    | none                | the leader's |
      | a replica                        | replica | running    | streaming           | the leader's |
      | a replica that reads the archive | replica | running    | in archive recovery | the leader's |
    And the DCS knows every member and no other

  @id.PH-04 @members @blocker
  Scenario: Every member runs
    Then every member's PostgreSQL answers, and its Patroni is alive
