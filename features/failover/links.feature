@patroni @haproxy @members @schema @hosts @statistics @pools @partitions @destructive @slow
Feature: Poor links between the hosts cost no leader
  A network that is slow or loses packets for a while is no outage. A cluster that takes it for one fails over, cuts its
  clients off, and makes a small trouble a large one.

  @id.GD-04 @normal
  Scenario: With 100 ms more on every link the leader stays
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When every link between the hosts gets 100 ms slower
    Then nothing flaps for 20 seconds
    And clients are interrupted for less than 5 seconds

  @id.GD-04 @normal
  Scenario: With 10 % of all packets lost the leader stays
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When every link between the hosts loses one packet in ten
    Then the leader stays for 20 seconds
    And clients are interrupted for less than 5 seconds
