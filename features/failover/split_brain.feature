@patroni @haproxy @members @schema @hosts @partitions @destructive @slow
Feature: Two leaders never accept writes at once
  Two leaders write two versions of the truth, and one of them is thrown away later: acknowledged, and lost. So a leader
  that the others can no longer hear must have stopped before one of them takes over.

  @id.SB-01 @blocker
  Scenario: A cut-off leader that clients still reach and its successor never accept writes at the same time
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When the leader is cut off from all but its clients
    And another member leads
    And the fault is healed
    Then at no time did two members accept writes
    And the target member streams as a replica within 60 seconds

  @id.SB-02 @blocker
  Scenario: A leader that is cut off from everyone stops before its lock runs out, and loses nothing
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When the leader is cut off from every other host
    Then the target member stops accepting writes before its lock runs out
    And another member leads
    And the ledger lost no acknowledged write

  @id.SB-02 @blocker
  Scenario: A leader that is cut off from the DCS alone stops before its lock runs out, and loses nothing
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    And no leader may go on without the DCS
    When the leader is cut off from the DCS
    Then the target member stops accepting writes before its lock runs out
    And another member leads
    And the ledger lost no acknowledged write
