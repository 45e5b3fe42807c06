@patroni @haproxy @members @replicas @schema @hosts @destructive @slow
Feature: The cluster survives the loss of a standby
  A commit waits until the synchronous standby has it. When that standby dies, another one must soon take its place, or
  writes stop; and if the cluster disagreed about which standby that is, a failover could promote a replica that lacks
  acknowledged writes.

  @id.FO-08 @crashes @dcs_keys @synchronous @spare_standby @critical
  Scenario: A killed synchronous standby is replaced within 10 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the host of the synchronous standby crashes
    Then commits wait for another standby within 10 seconds, and all observers agree on it
    And the loss of a standby interrupts clients for less than 10 seconds
    And the ledger lost no acknowledged write

  @id.FO-11 @member_data @copyable @prompt_replicas @critical
  Scenario: A member whose data directory is destroyed is rebuilt within 60 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the data directory of a replica is destroyed
    Then the affected member streams as a replica within 60 seconds
    And the affected member holds every acknowledged entry of the ledger

  @id.WL-03 @patroni_commands @crashes @rebuildable @copyable @expendable_wal @admin @spare_direct_replica @statistics @pools @critical
  Scenario: A replica that missed more WAL than is kept comes back, or is known to be out and can be rebuilt
    Given a healthy cluster
    And members that keep little WAL
    When a replica that no commit waits for is down until the leader has removed WAL that it needs
    Then within 30 seconds it streams, or is known not to and serves no reads
    And once a reinitialization is requested, it streams within 60 seconds
