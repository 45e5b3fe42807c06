@members
Feature: Nothing retains old WAL or dead rows for long
  A forgotten replication slot keeps WAL until the disk is full, on a replica as well as on the leader. A forgotten
  transaction keeps dead rows until every query is slow. Both are harmless for days, and nobody notices.

  @id.WL-01 @critical
  Scenario: No replication slot retains more than 1 GB of WAL on any member
    Then no replication slot of any member retains more than 1024 megabytes of WAL

  @id.WL-01 @critical
  Scenario: No replication slot holds back vacuum by more than a million transactions
    Then no replication slot of any member retains rows that are older than 1000000 transactions

  @id.WL-01 @bounded_slots @critical
  Scenario: No replication slot can fill a disk
    Then the WAL that replication slots can keep is limited on every member

  @id.WL-02 @critical
  Scenario: No prepared transaction is forgotten
    Then no prepared transaction of any member is older than 600 seconds

  @id.WL-02 @monitor @critical
  Scenario: No open transaction holds back vacuum for longer than an hour
    Then no open transaction of any member has held back vacuum for more than 3600 seconds
