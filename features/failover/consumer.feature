@patroni @patroni_commands @haproxy @members @replicas @schema @admin @logical @replication_slots @synchronous @destructive @slow
Feature: Change data capture continues after a failover
  Search indexes, caches and other services are fed by a logical slot of the leader. If the slot is recreated on the
  member that takes over, its consumer continues without an error and never receives what was committed in between.

  @id.FO-17 @hosts @crashes @critical
  Scenario: A logical consumer misses nothing when the leader's host crashes
    Given a healthy cluster
    And a logical consumer of a slot that Patroni maintains
    And 4 clients whose changes are for that consumer
    When the host of the leader crashes
    And another member leads
    Then within 30 seconds the consumer has every acknowledged change, and each client's in order

  @id.FO-17 @critical
  Scenario: A logical consumer misses nothing when the leader hands over
    Given a healthy cluster
    And a logical consumer of a slot that Patroni maintains
    And 4 clients whose changes are for that consumer
    When a switchover to any replica is requested
    And another member leads
    Then within 30 seconds the consumer has every acknowledged change, and each client's in order
