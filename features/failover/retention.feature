@members
Feature: Nothing retains old WAL or dead rows for long
  A forgotten replication slot keeps WAL until the disk is full, on a replica as well as on the leader; so does an
  archive that accepts no more WAL. A forgotten transaction keeps dead rows until every query is slow, and so does a
  vacuum that never runs. All are harmless for days, and nobody notices.

  @id.WL-01 @critical
  Scenario: No replication slot retains more than 1 GB of WAL on any member
    Then no replication slot of any member retains more than 1024 megabytes of WAL

  @id.WL-01 @critical
  Scenario: No replication slot holds back vacuum by more than a million transactions
    Then no replication slot of any member retains rows that are older than 1000000 transactions

  @id.WL-01 @bounded_slots @critical
  Scenario: No replication slot can fill a disk
    Then the WAL that replication slots can keep is limited on every member

  @id.WL-01 @archive_status @critical
  Scenario: The archive is never more than a gigabyte of WAL behind on any member
    Then no member keeps more than 1024 megabytes of WAL that waits to be archived

  @id.WL-02 @critical
  Scenario: No prepared transaction is forgotten
    Then no prepared transaction of any member is older than 600 seconds

  @id.WL-02 @monitor @critical
  Scenario: No open transaction holds back vacuum for longer than an hour
    Then no open transaction of any member has held back vacuum for more than 3600 seconds

  @id.WL-02 @autovacuum @critical
  Scenario: Every member vacuums by itself
    Then every member has these settings for the application
      | setting      | value |
      | autovacuum   | on    |
      | track_counts | on    |

  @id.WL-02 @critical
  Scenario: Vacuum freezes old rows long before transaction ids run out
    Then no database of any member has unfrozen rows beyond 3 times the age at which vacuum freezes them
