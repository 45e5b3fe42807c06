@patroni @haproxy @members @replicas @admin @schema @hosts @destructive @slow
Feature: A full disk costs no more than the writes that do not fit
  Disks fill up, mostly at night. A server that says so to whoever writes, keeps what it has acknowledged, and goes on
  by itself when there is room, has done all it can. It can say so only until its next checkpoint, which needs room as
  well: there PostgreSQL ends, starts again, and lets nobody in, while Patroni leaves the lock with it. No failover
  comes to help, so that what was acknowledged has to outlast that, too.

  @id.FO-04 @critical
  Scenario: A leader whose disk is full refuses writes, and takes them again once there is room
    Given a healthy cluster
    And the data of the leader is on a small disk of its own
    And 8 clients appending to a ledger through the write endpoint
    When the disk of the leader is full
    Then writes are refused for want of room, and none hangs
    And once there is room again, writes are taken within 10 seconds
    And the ledger lost no acknowledged write

  @id.FO-04 @critical
  Scenario: A leader that a full disk has ended takes writes again once there is room
    Given a healthy cluster
    And the data of the leader is on a small disk of its own
    And 8 clients appending to a ledger through the write endpoint
    When the disk of the leader is full as a checkpoint is due
    Then once there is room again, writes are taken within 15 seconds
    And the ledger lost no acknowledged write
