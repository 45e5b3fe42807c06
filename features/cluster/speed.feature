@schema @normal
Feature: Reads and searches are answered in time
  Speed is promised as a percentile over many warm samples: the time that most requests take, not a single best one.

  @id.PF-01
  Scenario: A simple query takes under 100 ms
    Given a stored entry
    When it is read 200 times by its key
    Then it came back unchanged every time
    And 95 in 100 reads took under 100 ms

  @id.PF-02 @vector @indexed_embedding
  Scenario: A vector search over 1000 entries takes under 50 ms
    Given 1000 entries with distinct embeddings
    When the nearest 10 entries are searched for, 200 times
    Then every search used the HNSW index for cosine distance
    And each answer is in the order of the true distances
    And 95 in 100 searches took under 50 ms

  @id.PF-07 @patroni @members @replicas @prompt_replicas
  Scenario: Replication lag stays under 5 seconds while 8 clients write
    Given 8 clients appending to a ledger through the write endpoint
    When 30 markers are written at the same time, and looked for on every replica
    Then every replica showed each marker within 5 seconds
    And all 8 clients kept writing
