@patroni @haproxy @members @schema @hosts @destructive @slow
Feature: The cluster gets over the loss of a standby
  A synchronous standby holds every commit back until it has it too. When it dies, somebody else must take its place
  soon, or writes stop; and if the cluster disagreed about who that is, a failover could promote one that lacks
  acknowledged writes.

  @id.FO-08 @dcs @dcs_keys @synchronous @critical
  Scenario: A killed synchronous standby is replaced within 10 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the host of the synchronous standby crashes
    Then commits wait for another standby within 10 seconds, and all who can tell agree
    And the loss of a standby interrupts clients for less than 10 seconds
    And the ledger lost no acknowledged write

  @id.FO-11 @critical
  Scenario: A member whose data directory is destroyed is rebuilt within 60 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the data directory of a replica is destroyed
    Then the target member streams as a replica within 60 seconds
    And the target member holds every acknowledged entry of the ledger
