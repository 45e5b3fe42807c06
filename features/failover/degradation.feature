@patroni @haproxy @members @schema @hosts @statistics @pools @destructive @slow
Feature: A degraded cluster keeps serving
  A cluster that has lost a part of itself may be slower and has less to fall back on, but its clients need not know.
  They see a pause of limited length, and whatever they retry after it is applied exactly once.

  @id.GD-01 @crashes @dcs_apart @replicas @writes_without_standby @prompt_reads @critical
  Scenario: With every replica down, writes continue and reads are answered
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    And 4 clients reading through the read endpoint
    When the hosts of all replicas crash
    Then the loss of a standby interrupts clients for less than 15 seconds
    And each reader is answered again within 10 seconds
    And the ledger lost no acknowledged write

  @id.GD-01 @patroni_commands @crashes @dcs_apart @replicas @synchronous @prompt_reads @critical
  Scenario: In strict synchronous mode, no write is acknowledged while every replica is down, and reads are answered
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    And 4 clients reading through the read endpoint
    And commits wait for a standby even when there is none
    When the hosts of all replicas crash
    Then each reader is answered again within 10 seconds
    And no write is acknowledged meanwhile
    And once a replica is back, writes are accepted again within 30 seconds

  @id.GD-02 @unique_key @partitions @proxy_host @critical
  Scenario: What a client retries after its connection was cut is applied exactly once
    Given a healthy cluster
    And 8 clients incrementing a counter, each operation retried until it is acknowledged
    When the leader's answers are lost on the way to its clients
    And the fault is healed
    Then each operation was applied exactly once

  @id.GD-02 @unique_key @partitions @proxy_host @crashes @synchronous @replicas @writes_after_loss @critical
  Scenario: What a client retries across a change of leaders is applied exactly once
    Given a healthy cluster
    And 8 clients incrementing a counter, each operation retried until it is acknowledged
    When the leader's answers are lost on the way to its clients
    And the host of the leader crashes
    And another member leads
    Then each operation was applied exactly once

  @id.GD-03 @proxy_host @normal
  Scenario: A proxy that is killed and started again pauses its clients for less than 5 seconds
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When the proxy is killed and started again
    Then clients are interrupted for less than 5 seconds
    And the ledger lost no acknowledged write

  @id.GD-03 @several_replicas @serving_replicas @prompt_reads @normal
  Scenario: A replica that hangs keeps no reader waiting for more than 10 seconds
    Given a healthy cluster
    And 4 clients reading through the read endpoint
    When the host of a replica that serves reads freezes
    Then each reader is answered again within 10 seconds
