@patroni @haproxy @members @schema @hosts @crashes @dcs_hosts @proxy_host @destructive @slow
Feature: The cluster survives the loss of everything at once
  When everything is down at once, no member is left to take over, and all parts must find one another by themselves
  when they are back. If it was a power failure, what the operating system had only in memory is gone as well, so every
  acknowledged write must have been flushed to disk. If only the processes were killed, the operating system still has
  what they wrote, flushed or not.

  @id.FO-12 @blocker
  Scenario: The whole cluster killed at once comes back with every acknowledged write
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When every host of the cluster crashes at once
    And the fault is healed
    Then the loss of everything interrupts clients for less than 60 seconds
    And the ledger lost no acknowledged write

  @id.FO-12 @volatile_disks @blocker
  Scenario: A power failure of the whole cluster loses no acknowledged write
    Given a healthy cluster
    And disks that lose what was not flushed when the power fails
    And 8 clients appending to a ledger through the write endpoint
    When the power of every host fails at once
    And the fault is healed
    Then the loss of everything interrupts clients for less than 60 seconds
    And the ledger lost no acknowledged write
