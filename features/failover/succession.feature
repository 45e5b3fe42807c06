@patroni @haproxy @members @schema @hosts @destructive @slow
Feature: The right member takes over, time after time
  Where several replicas could take over, the choice decides how much is lost; and a replica may be barred because it is
  there for something else, on a smaller machine or in another town. Failures do not come one a year: the cluster that
  comes out of a failover must be as good as the one that went in.

  @id.FO-07 @partitions @critical
  Scenario: The replica with the most WAL takes over
    Given a healthy cluster
    And commits wait for no standby
    And one replica lacks what the others have received
    When the host of the leader crashes
    Then one that has received everything leads within 30 seconds

  @id.FO-07 @partitions @critical
  Scenario: A replica that is tagged never to lead does not, however good it is
    Given a healthy cluster
    And commits wait for no standby
    And one replica lacks what the others have received
    And those others are tagged never to lead
    When the host of the leader crashes
    Then the one that lacks some leads within 30 seconds
