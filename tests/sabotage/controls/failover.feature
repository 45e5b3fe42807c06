@patroni @haproxy @members @schema @hosts @partitions @destructive @slow @critical
Feature: Promises that are broken on purpose
  Each scenario is one of the suite, on a cluster that was made unable to keep the promise. It must fail, and say so in
  the time that the promise allows: a suite that is never red proves nothing when it is green.

  @id.FO-02
  Scenario: A leader crash loses acknowledged writes when replicas lag and commits do not wait for them
    Given a healthy cluster
    And commits wait for no standby
    And no replica receives what the leader writes
    And 8 clients appending to a ledger through the write endpoint
    When the host of the leader crashes
    Then clients are interrupted for less than 30 seconds
    And the ledger lost no acknowledged write

  @id.FO-01
  Scenario: A crashed leader is not replaced when failover is paused
    Given a healthy cluster
    And failover is paused
    When the host of the leader crashes
    Then another member leads within 30 seconds
