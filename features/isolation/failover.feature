@schema @patroni @haproxy @members @replicas @synchronous @hosts @crashes @writes_after_loss @destructive @slow @blocker
Feature: Transactions stay isolated through a failover
  A transaction that others have seen must not be gone afterwards, and half of one must not appear on the new leader.

  @id.IS-01
  Scenario: Transactions at read committed see no dirty, aborted or intermediate data while the leader crashes
    Given a healthy cluster
    And 8 clients running transactions at isolation level read committed
    When the host of the leader crashes
    And another member leads
    Then no transaction saw an anomaly that its level rules out

  @id.IS-02
  Scenario: Serializable transactions stay serializable while the leader crashes
    Given a healthy cluster
    And 8 clients running transactions at isolation level serializable
    When the host of the leader crashes
    And another member leads
    Then no transaction saw an anomaly that its level rules out
