@patroni @haproxy @members @schema @hosts @destructive @slow
Feature: The cluster survives the loss of everything at once
  A power cut takes down the whole room. No member is left to take over, so every acknowledged write must be on disk,
  and all parts must find one another by themselves when the power returns.

  @id.FO-12 @blocker
  Scenario: The whole cluster killed at once comes back with every acknowledged write
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When every host of the cluster crashes at once
    And the fault is healed
    Then the loss of everything interrupts clients for less than 60 seconds
    And the ledger lost no acknowledged write
