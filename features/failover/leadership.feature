@patroni
Feature: One member leads, and another could take over
  Two leaders mean two versions of the data (split brain); no leader means that nobody can write. A cluster that could
  not fail over right now looks as healthy as any other until its leader dies.

  @id.PH-02 @members @blocker @smoke
  Scenario: Exactly one member leads, and every observer names it
    Then the same single member leads according to
      | observer                          |
      | the Patroni of every member      |
      | the health check of every member |
      | SQL on every member              |
      | the write endpoint               |

  @id.PH-02 @members @dcs_keys @blocker
  Scenario: The leader key in the DCS names the primary
    Then the same single member leads according to
      | observer                   |
      | the leader key in the DCS |
      | SQL on every member       |

  @id.PH-05 @replicas @critical
  Scenario: A replica could take over from the leader right now
    Then automatic failover is on
    And at least one replica may take over

  @id.PH-05 @dcs @spare_dcs @critical
  Scenario: The DCS could lose one of its members right now
    Then the DCS has a quorum with one member to spare

  @id.SB-03 @members @failsafe @critical
  Scenario: A leader could continue without the DCS right now
    Then failsafe mode is on, and every member knows all others that a leader has to reach
