@patroni @haproxy @members @schema @hosts @statistics @pools @poor_links @destructive @slow
Feature: Poor links between the hosts cause no failover
  A network that is slow or loses packets for a while is not an outage. A cluster that mistakes it for one fails over,
  cuts off its clients, and turns a small problem into a large one.

  @id.GD-04 @slow_links @normal
  Scenario: With 100 ms more latency on every link, the leader stays
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When every link between the hosts gets 100 ms slower
    Then the leader and the routing stay unchanged for 20 seconds
    And clients are interrupted for less than 5 seconds

  @id.GD-04 @normal
  Scenario: With 10 % packet loss on every link, the leader stays
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When every link between the hosts loses one packet in ten
    Then the leader stays for 20 seconds
    And clients are interrupted for less than 5 seconds
