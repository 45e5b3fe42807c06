@citus @sharded_entries @workers @nodes @schema @patroni @haproxy @members @destructive @slow
Feature: The other workers keep serving while one of them fails over
  Each worker group holds a part of every table, and no other group has it. When a group loses its leader, its part
  waits for the failover. The other parts must not wait, and no transfer between parts may be left half done.

  @id.DT-04 @hosts @crashes @several_workers @critical
  Scenario: While one worker group has no leader, data on the others is read and written
    Given a healthy cluster
    And 4 clients appending to a ledger on worker group 1
    And 4 clients appending to a ledger on worker group 2
    When the host of the leader of worker group 1 crashes
    Then a write to worker group 1 is refused within 10 seconds, with an error that names its node
    And data on worker group 2 can be read within 2 seconds
    And the clients of worker group 2 are interrupted for less than 2 seconds

  @id.DT-04 @hosts @crashes @worker_replicas @writes_after_loss @critical
  Scenario: After the failover of a worker group, writes to its data are accepted again, and nothing is lost
    Given a healthy cluster
    And 4 clients appending to a ledger on worker group 1
    When the host of the leader of worker group 1 crashes
    Then another member leads within 30 seconds
    And the failover interrupts the clients of worker group 1 for less than 40 seconds
    And no ledger lost an acknowledged write

  @id.DT-05 @patroni_commands @worker_replicas @critical
  Scenario: A switchover of a worker's leader loses nothing, and every node learns the new address
    Given a healthy cluster
    And 8 clients appending to a ledger on worker group 1
    When a switchover of worker group 1 to any replica is requested
    Then every node knows the new leader of worker group 1 within 10 seconds
    And the switchover interrupts the clients of worker group 1 for less than 10 seconds
    And no ledger lost an acknowledged write

  @id.DT-06 @hosts @several_workers @blocker
  Scenario: Transfers between worker groups preserve the total, whichever leader is killed during them
    Given a healthy cluster
    And 8 clients transferring between accounts on different worker groups
    When PostgreSQL on each of these is killed, one after the other
      | who                           |
      | the leader of worker group 1  |
      | the leader of worker group 2  |
      | the leader                    |
      | the leader of worker group 1  |
    Then within 30 seconds nothing is in doubt, and each transfer happened on both accounts or on neither
