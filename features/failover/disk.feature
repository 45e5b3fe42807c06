@patroni @patroni_commands @haproxy @members @replicas @admin @schema @hosts @disks @member_files @destructive @slow
Feature: A full disk costs no more than the writes that do not fit
  Disks fill up, mostly at night. The best that a server can do is to tell clients why it refuses their writes, keep
  what it has acknowledged, and continue by itself once there is space. It can do so only until its next checkpoint,
  which needs space as well. Then PostgreSQL stops, tries to start again and lets nobody in, while Patroni keeps the
  leader lock. No failover helps in that case, so acknowledged writes must outlast it, too.

  @id.FO-04 @critical
  Scenario: A leader whose disk is full refuses writes, and accepts them again once there is space
    Given a healthy cluster
    And the data of the leader is on a small disk of its own
    And 8 clients appending to a ledger through the write endpoint
    When the disk of the leader is full
    Then writes are refused for lack of disk space, and none hangs
    And once there is space again, writes are accepted within 10 seconds
    And the ledger lost no acknowledged write

  @id.FO-04 @critical
  Scenario: A leader whose PostgreSQL a full disk has stopped accepts writes again once there is space
    Given a healthy cluster
    And the data of the leader is on a small disk of its own
    And 8 clients appending to a ledger through the write endpoint
    When the disk of the leader is too full to complete a checkpoint
    Then once there is space again, writes are accepted within 15 seconds
    And the ledger lost no acknowledged write
