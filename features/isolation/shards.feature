@schema @citus @sharded_entries @several_workers @blocker
Feature: Transactions over all shards are isolated as far as Citus promises
  Each worker isolates its own part of a transaction, and a two-phase commit makes it one. But no snapshot spans the
  workers, so a reader can see a transaction on one of them and miss it on another. That is reported as a known limit,
  with an example; everything else must hold.

  @id.IS-01
  Scenario: Transactions over all shards at read committed see no dirty, aborted or intermediate data
    Given lists, registers and sets over all worker groups
    When 8 clients run 120 transactions each at isolation level read committed
    Then no transaction saw an anomaly that its level rules out

  @id.IS-02
  Scenario: Transactions over all shards at repeatable read lose no update
    Given lists, registers and sets over all worker groups
    When 8 clients run 120 transactions each at isolation level repeatable read
    Then no transaction saw an anomaly that its level rules out

  @id.IS-02
  Scenario: Serializable transactions over all shards show no write skew within a worker
    Given lists, registers and sets over all worker groups
    When 8 clients run 120 transactions each at isolation level serializable
    Then no transaction saw an anomaly that its level rules out
