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

  @id.FO-09 @critical
  Scenario: Three leaders in a row are lost, and all members stream on one timeline
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When one leader after another is lost, each replaced and back before the next
      | how                             |
      | its data directory is destroyed |
      | its host crashes                |
      | its data directory is destroyed |
    Then every replica streams on the timeline of the leader within 60 seconds
    And the ledger lost no acknowledged write

  @id.FO-10 @vector @application_schema @critical
  Scenario: A vector search answers after a failover as it did before, by the index
    Given a healthy cluster
    And 500 entries with distinct embeddings
    And the nearest 10 entries are searched for, 50 times
    When the host of the leader crashes
    And another member leads
    And the same is searched for again
    Then every answer is the one of before
    And every search went by the HNSW index for cosine distance
