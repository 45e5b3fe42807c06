@patroni @haproxy @members @replicas @schema @hosts @partitions @destructive @slow
Feature: Two leaders never accept writes at once
  In a split brain two leaders accept writes, and the writes of one of them are thrown away later, although they were
  acknowledged. So a leader that is cut off from the others must have stopped (fenced itself) before one of them takes
  over.

  @id.SB-01 @proxy_host @proxy_apart @blocker
  Scenario: A cut-off leader that clients still reach, and its successor, never accept writes at the same time
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When the leader is cut off from all but its clients
    And another member leads
    And the fault is healed
    Then at no time did two members accept writes
    And the affected member streams as a replica within 60 seconds
    And the ledger lost no acknowledged write

  @id.SB-02 @blocker
  Scenario: A leader that is cut off from everyone stops before its lock expires, and loses no acknowledged write
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When the leader is cut off from every other host
    Then the former leader stops accepting writes before its lock expires
    And another member leads
    And the former leader accepts no further write until the fault is healed
    And the ledger lost no acknowledged write

  @id.SB-02 @patroni_commands @blocker
  Scenario: A leader that is cut off from the DCS alone stops before its lock expires, and loses no acknowledged write
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    And failsafe mode is off
    When the leader is cut off from the DCS
    Then the former leader stops accepting writes before its lock expires
    And another member leads
    And the former leader accepts no further write until the fault is healed
    And the ledger lost no acknowledged write
