@patroni @haproxy @members @replicas @schema @hosts @destructive @slow
Feature: The right member takes over, time after time
  If several replicas could take over, the choice decides how much is lost. A replica may be barred from leading because
  it serves another purpose, on a smaller machine or at another site. And failures do not come only once a year: a
  cluster must be as good after a failover as it was before.

  @id.FO-07 @patroni_commands @partitions @crashes @several_candidates @asynchronous_commits @critical
  Scenario: The replica with the most WAL takes over
    Given a healthy cluster
    And commits wait for no standby
    And one replica lacks WAL that the others have received
    When the host of the leader crashes
    Then a replica that has received everything leads within 30 seconds

  @id.FO-07 @patroni_commands @partitions @crashes @member_files @several_candidates @asynchronous_commits @critical
  Scenario: A replica that is tagged nofailover does not take over, even as the best candidate
    Given a healthy cluster
    And commits wait for no standby
    And one replica lacks WAL that the others have received
    And the other replicas are tagged nofailover
    When the host of the leader crashes
    Then the replica that lacks WAL leads within 30 seconds

  @id.FO-09 @crashes @member_data @copyable @critical
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

  @id.FO-10 @crashes @vector @indexed_embedding @application_schema @critical
  Scenario: A vector search returns the same after a failover as before, through the index
    Given a healthy cluster
    And 500 entries with distinct embeddings
    And the nearest 10 entries are searched for, 50 times
    When the host of the leader crashes
    And another member leads
    And the same searches are repeated
    Then every answer is the same as before
    And every search used the HNSW index for cosine distance
