@schema @blocker
Feature: A transaction is atomic, durable and isolated
  A committed write is visible to every later reader, on replicas too; a rolled-back write is visible to nobody.
  Clients that write at the same time do not undo one another's work.

  @id.TX-01
  Scenario: An uncommitted write is seen by no other session
    Given a session that has written an entry and not committed it
    When other sessions look for the entry
    Then none of them finds it

  @id.TX-01
  Scenario: A rolled-back write is seen by no session
    Given a session that has written an entry and not committed it
    When it rolls back
    Then neither that session nor a later one finds the entry

  @id.TX-01 @patroni @members @replicas @prompt_replicas
  Scenario: A rolled-back write reaches no member
    Given a session that has written an entry and not committed it
    When it rolls back, and a later write has reached every replica
    Then no member has the entry

  @id.TX-02
  Scenario: A committed write is seen by every later session
    When a session commits an entry
    Then 10 later sessions find it unchanged

  @id.TX-02 @patroni @members @replicas @prompt_replicas @smoke
  Scenario: A committed write is on the leader at once and on every replica within 5 seconds
    When a session commits an entry
    Then the leader has it
    And every replica has it within 5 seconds

  @id.TX-03
  Scenario: 10 writers to different keys do not block one another
    When 10 concurrent clients store 20 entries each
    Then all 10 clients succeeded 20 times
    And each of their entries is there once

  @id.TX-03 @row_locks
  Scenario: 10 writers to one counter lose no update
    Given a counter that stands at 0
    When 10 concurrent clients add one to it 20 times each
    Then all 10 clients succeeded 20 times
    And the counter stands at 200
