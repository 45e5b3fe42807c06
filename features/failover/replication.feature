@patroni @replicas
Feature: Every replica has what the leader has
  A replica that silently lags behind serves stale reads today, and loses data when it is promoted tomorrow.

  @id.RL-01 @admin @streaming_replicas @replication_slots @critical
  Scenario: The leader streams to every replica through an active slot
    Then the leader streams to every replica through a slot of its own
    And no slot of the leader is orphaned

  @id.RL-02 @members @prompt_replicas @schema @critical
  Scenario: What is written on the leader reaches every replica within 5 seconds
    Then each of 20 markers written through the write endpoint is on every replica within 5 seconds
    And every replica that replays late on purpose receives what was written within 5 seconds
