@patroni @haproxy @members @schema @hosts @destructive @slow
Feature: The cluster survives the loss of its leader
  Whoever writes must be able to go on within half a minute when the machine that takes the writes is gone, and what was
  acknowledged must still be there: this is what high availability is bought for.

  @id.FO-01 @blocker
  Scenario: A crashed leader is replaced within 30 seconds
    Given a healthy cluster
    When the host of the leader crashes
    Then another member leads within 30 seconds

  @id.FO-02 @blocker
  Scenario: An acknowledged write survives a leader crash
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the host of the leader crashes
    Then clients are interrupted for less than 30 seconds
    And the ledger lost no acknowledged write
