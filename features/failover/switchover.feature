@patroni @patroni_commands @haproxy @members @replicas @dcs_keys @schema @destructive @slow
Feature: The leader hands over when it is asked to
  Machines are maintained and databases are upgraded on working days. A planned switchover makes that harmless: clients
  wait for a moment and lose nothing. A switchover that cannot succeed must not begin, and the reason must be reported.

  @id.FO-06 @critical
  Scenario: A switchover to a named replica interrupts writes for less than 10 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When a switchover to a replica that may lead is requested
    Then the requested candidate leads
    And the switchover interrupts clients for less than 10 seconds
    And the ledger lost no acknowledged write

  @id.FO-06 @critical
  Scenario: A switchover to any replica interrupts writes for less than 10 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When a switchover to any replica is requested
    Then another member leads
    And the switchover interrupts clients for less than 10 seconds
    And the ledger lost no acknowledged write

  @id.FO-06 @hosts @crashes @normal
  Scenario: An impossible switchover is refused with a reason
    Given a healthy cluster
    And the host of a replica that may lead is down
    When switchovers to members that cannot lead are requested
      | candidate                    |
      | the member that is down      |
      | a member that does not exist |
      | the leader itself            |
    Then each request is refused with a reason
      | candidate                    | reason mentions |
      | the member that is down      | candidate       |
      | a member that does not exist | candidate       |
      | the leader itself            | the same        |
    And the leader is still the same
    And no switchover is pending

  @id.FO-06 @critical
  Scenario Outline: A switchover whose client or leader dies halfway ends with one leader: <who>
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When <who> dies while the leader hands over
    Then another member leads
    And the <event> interrupts clients for less than <seconds> seconds
    And no switchover is pending
    And the ledger lost no acknowledged write

    Examples:
      | who                          | event      | seconds |
      | the client that requested it | switchover | 10      |

    @hosts @crashes
    Examples:
      | who                          | event      | seconds |
      | Patroni on the leader        | failover   | 30      |

  @id.FO-18 @admin @archiving @critical
  Scenario: A switchover completes in time even if WAL cannot be archived
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    And the command that archives WAL fails on every member
    When a switchover to any replica is requested
    Then another member leads
    And the switchover interrupts clients for less than 10 seconds
    And the ledger lost no acknowledged write

  @id.FO-18 @hosts @own_programs @proxy_host @admin @critical
  Scenario: A switchover completes in time even if a consumer of the leader's stream does not answer
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    And a consumer of the leader's stream that does not answer
    When a switchover to any replica is requested
    Then another member leads
    And the switchover interrupts clients for less than 10 seconds
    And the ledger lost no acknowledged write
