@patroni @haproxy @members @schema @hosts @destructive @slow
Feature: The cluster survives the loss of its leader
  Whoever writes must be able to go on within half a minute when the machine that takes the writes is gone, and what was
  acknowledged must still be there: this is what high availability is bought for. A machine that was gone and comes back
  must fall in line by itself: until it does, the next loss is an outage, and if it kept a truth of its own, some of its
  readers would be told what never happened. One that stood still does not know that it was replaced until it looks:
  what its clients ask of it in that moment it must not acknowledge.

  @id.FO-01 @blocker
  Scenario: A crashed leader is replaced within 30 seconds
    Given a healthy cluster
    When the host of the leader crashes
    Then another member leads within 30 seconds

  @id.FO-02 @blocker
  Scenario: An acknowledged write survives a leader crash
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the host of the leader crashes
    Then the failover interrupts clients for less than 30 seconds
    And the ledger lost no acknowledged write

  @id.FO-03 @critical
  Scenario: A crashed leader comes back as a replica that holds everything
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the host of the leader is down until another member leads
    Then the target member streams as a replica within 60 seconds
    And the target member holds every acknowledged entry of the ledger

  @id.FO-03 @partitions @critical
  Scenario: What a cut-off leader wrote alone is gone when it comes back
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the leader, cut off from all other hosts, writes an entry alone
    And another member leads
    And the fault is healed
    Then the target member streams as a replica within 60 seconds
    And the lone entry is on no member
    And every member holds every acknowledged entry of the ledger

  @id.FO-04 @critical
  Scenario: The cluster rides out the death of PostgreSQL alone on its leader
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When PostgreSQL alone is killed on the leader
    Then the failover interrupts clients for less than 30 seconds
    And the ledger lost no acknowledged write

  @id.FO-05 @synchronous @critical
  Scenario: A frozen leader is replaced and takes no write when it thaws
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    And 4 clients appending through sessions that they hold on the leader itself
    When the host of the leader freezes until another member leads
    Then the target member streams as a replica within 60 seconds
    And the thawed member acknowledged no write
    And the ledger lost no acknowledged write
