@patroni @haproxy @members @schema @hosts @destructive @slow
Feature: The cluster survives the loss of its leader
  This is what high availability is for: when the machine that takes the writes is gone, a failover lets clients go on
  within half a minute, and every acknowledged write is still there. A machine that comes back must rejoin as a replica
  by itself. Until it does, the next loss is an outage; and if it kept its own version of the data, some readers would
  see writes that were never committed. A frozen leader does not know that it has been replaced: when it thaws, it must
  not acknowledge any write.

  @id.FO-01 @crashes @replicas @blocker
  Scenario: A crashed leader is replaced within 30 seconds
    Given a healthy cluster
    When the host of the leader crashes
    Then another member leads within 30 seconds

  @id.FO-02 @crashes @replicas @writes_after_loss @blocker @smoke
  Scenario: An acknowledged write survives a leader crash
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the host of the leader crashes
    Then the failover interrupts clients for less than 30 seconds
    And the ledger lost no acknowledged write

  @id.FO-03 @crashes @replicas @critical
  Scenario: A crashed leader comes back as a replica that holds everything
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the host of the leader is down until another member leads
    Then the affected member streams as a replica within 60 seconds
    And the affected member holds every acknowledged entry of the ledger

  @id.FO-03 @partitions @replicas @critical
  Scenario: What a cut-off leader wrote alone is gone when it rejoins
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the leader commits an entry that no other host can receive
    And another member leads
    And the fault is healed
    Then the affected member streams as a replica within 60 seconds
    And no member has that entry
    And every member holds every acknowledged entry of the ledger

  @id.FO-04 @critical
  Scenario: The cluster survives the death of PostgreSQL alone on the leader
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When PostgreSQL alone is killed on the leader
    Then the failover interrupts clients for less than 30 seconds
    And the ledger lost no acknowledged write

  @id.FO-04 @replicas @writes_after_loss @critical
  Scenario: A leader whose PostgreSQL dies and does not finish starting is replaced in time
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When PostgreSQL alone is killed on the leader, and does not finish starting
    Then the hanging start interrupts clients for less than 60 seconds
    And the ledger lost no acknowledged write

  @id.FO-05 @synchronous @replicas @critical
  Scenario: A frozen leader is replaced, and acknowledges no write when it thaws
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    And 4 clients appending through direct sessions on the leader
    When the host of the leader freezes until another member leads
    Then the affected member streams as a replica within 60 seconds
    And the thawed member acknowledged no write
    And the ledger lost no acknowledged write

  @id.FO-13 @hosts @synchronous @replicas @blocker
  Scenario: A leader on which only Patroni hangs is replaced, and acknowledges nothing from then on
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    And 4 clients appending through direct sessions on the leader
    When Patroni on the leader hangs until another member leads
    Then the affected member streams as a replica within 60 seconds
    And the thawed member acknowledged no write
    And the ledger lost no acknowledged write

  @id.FO-15 @replicas @writes_after_loss @critical
  Scenario: A leader whose PostgreSQL hangs without dying is replaced within 30 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When PostgreSQL alone hangs on the leader
    Then another member leads within 30 seconds
    And the failover interrupts clients for less than 30 seconds
    And the ledger lost no acknowledged write

  @id.FO-15 @replicas @critical
  Scenario: A leader that refuses all new logins is replaced within 30 seconds, where the cluster promises it
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the postmaster alone hangs on the leader
    Then new sessions reach a leader again within 30 seconds, where the cluster promises it
    And once the fault is healed, new sessions reach a leader within 30 seconds
    And the ledger lost no acknowledged write

  @id.FO-20 @crashes @own_tables @synchronous @replicas @critical
  Scenario: No sequence or identity column gives out a number twice across a failover
    Given a healthy cluster
    And 8 clients drawing numbers from a sequence and from an identity column
    When the host of the leader is down until another member leads
    Then no number was issued twice

  @id.FO-16 @hosts @admin @partitions @rewind @replicas @critical
  Scenario: A member whose timeline diverged is rewound, not copied in full
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the leader commits an entry that no other host can receive
    And another member leads
    And the fault is healed
    Then the affected member streams as a replica within 60 seconds
    And the affected member was rewound, not copied
    And no member has that entry
