@schema @critical
Feature: Stored entries are found unchanged
  Entries are text, JSON and embeddings. They may lie unread for months; when they are read, every one of them must be
  unchanged, and a similarity search must find the nearest ones.

  @id.DA-01
  Scenario Outline: An entry with <content> is read back unchanged
    When an entry with <content> is stored
    Then another session reads it back unchanged

    Examples: plain text
      | content    |
      | plain text |

    @empty_values
    Examples: no text
      | content       |
      | an empty text |

    @any_text
    Examples: any text
      | content                |
      | spaces at both ends    |
      | quotes and backslashes |
      | many scripts and emoji |

    @long_values
    Examples: much text
      | content        |
      | a text of 1 MB |

    @json
    Examples: JSON
      | content                           |
      | nested JSON                       |
      | JSON's null, numbers and booleans |

    @vector @optional_embedding
    Examples: no embedding
      | content      |
      | no embedding |

    @vector
    Examples: embeddings
      | content                               |
      | an embedding of the right size        |
      | an embedding of numbers of every size |

  @id.DA-02
  Scenario: 1000 entries are loaded in under 10 seconds
    When 1000 entries are stored at once
    Then another session reads all 1000 back unchanged
    And it took less than 10 seconds

  @id.DA-02
  Scenario: All entries are counted, whichever index the planner chooses
    When 1000 entries are stored at once
    Then a count of all entries is the same by every plan

  @id.DA-03 @vector @indexed_embedding @application_schema @smoke
  Scenario: A search returns the true nearest entries through the HNSW index
    Given 1000 entries with distinct embeddings
    When the nearest 10 entries are searched for, 100 times
    Then every search used the HNSW index for cosine distance
    And each answer is in the order of the true distances
    And the recall at 10 is at least 0.99

  @id.DA-03 @application_schema @declared_vectors
  Scenario: Every vector column of the application has its HNSW index
    Then every vector column of the application's schema has an HNSW index for its metric

  @id.DA-06 @application_schema
  Scenario: No table of the application is unlogged
    No replica has the rows of an unlogged table, and PostgreSQL deletes them when it starts after a crash. A table that
    was set unlogged for a bulk load looks like any other until then.

    Then no table of the application's schema is unlogged

  @id.DA-05 @vector @pgvector @own_tables @members @slow
  Scenario: With the application's own settings, a search finds the nearest of its namespace in a crowded table
    Given a copy of the table of entries with 1000 entries among 20000 of other namespaces
    And entries of other namespaces that come and go in it
    When the nearest 10 are searched for on every member, 40 times, while the table is vacuumed
    Then each search finds 10 entries, all of its own namespace
    And the recall at 10 is at least 0.95 on every member
    And nothing that was done to the table meanwhile failed
