@patroni @haproxy @members @schema @hosts @own_programs @dcs_hosts @dcs @dcs_keys @statistics @pools @destructive @slow
Feature: The cluster tolerates a leader whose clock is wrong
  A clock is set by hand, stepped by NTP, or behind after a virtual machine was suspended. Who leads must not depend on
  it, as the leader's lock expires in the DCS. But Patroni plans its loops by the clock of its host.

  @id.SB-05 @critical
  Scenario: A leader whose clock jumps ahead stays the leader
    Given a healthy cluster
    And the Patroni of the leader has a clock that can be set
    And 4 clients appending to a ledger through the write endpoint
    When that clock jumps two hours ahead
    Then the leader stays for 30 seconds
    And the leader still renews its lock
    And clients are interrupted for less than 10 seconds

  @id.SB-05 @replicas @critical
  Scenario: No acknowledged write is lost when the leader's clock jumps back
    Given a healthy cluster
    And the Patroni of the leader has a clock that can be set
    And 4 clients appending to a ledger through the write endpoint
    When that clock jumps two hours back
    Then the leader stays for longer than its lock lasts, where the cluster promises it
    And the ledger lost no acknowledged write
