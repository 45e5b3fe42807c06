@patroni @haproxy @members @dcs @dcs_keys @schema @hosts @destructive @slow
Feature: The leader hands over when it is asked to
  Machines are maintained and databases are upgraded on working days. A planned switchover is what makes that harmless:
  its clients wait for a moment and lose nothing. It must not begin when it cannot succeed, and who asked must be told
  why.

  @id.FO-06 @critical
  Scenario: A switchover to a named replica interrupts writes for less than 10 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the leader is asked to hand over to a replica that may lead
    Then the named member leads
    And the switchover interrupts clients for less than 10 seconds
    And the ledger lost no acknowledged write

  @id.FO-06 @critical
  Scenario: A switchover to any replica interrupts writes for less than 10 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the leader is asked to hand over to any replica
    Then another member leads
    And the switchover interrupts clients for less than 10 seconds
    And the ledger lost no acknowledged write

  @id.FO-06 @normal
  Scenario: An impossible switchover is refused with a reason
    Given a healthy cluster
    And the host of a replica that may lead is down
    When switchovers are asked for to those who cannot lead
      | who                        |
      | the member that is down    |
      | a member that is not there |
      | the leader itself          |
    Then each time the answer is a refusal with a reason
      | who                        | reason speaks of |
      | the member that is down    | candidate        |
      | a member that is not there | candidate        |
      | the leader itself          | the same         |
    And the leader leads on, and no switchover is pending

  @id.FO-06 @critical
  Scenario Outline: A switchover whose orchestrator dies half-way ends with one leader: <who>
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When <who> dies while the leader hands over
    Then another member leads
    And the <event> interrupts clients for less than <seconds> seconds
    And no switchover is pending
    And the ledger lost no acknowledged write

    Examples:
      | who                        | event      | seconds |
      | the client that ordered it | switchover | 10      |
      | the Patroni of the leader  | failover   | 30      |
