@schema @blocker
Feature: Concurrent transactions are isolated as their level promises
  An application that transfers money or counts stock relies on its isolation level. If a server, a pooler or a driver
  gives it less than it asked for, nothing fails; the amounts just turn out wrong later.

  @id.IS-01
  Scenario: Transactions at read committed see no dirty, aborted or intermediate data
    Given lists, registers and sets on one server
    When 8 clients run 120 transactions each at isolation level read committed
    Then no transaction saw an anomaly that its level rules out

  @id.IS-02
  Scenario: Transactions at repeatable read see no read skew, and lose no update
    Given lists, registers and sets on one server
    When 8 clients run 120 transactions each at isolation level repeatable read
    Then no transaction saw an anomaly that its level rules out

  @id.IS-02
  Scenario: Serializable transactions show no write skew
    Given lists, registers and sets on one server
    When 8 clients run 120 transactions each at isolation level serializable
    Then no transaction saw an anomaly that its level rules out

  @id.IS-02 @backends
  Scenario: Transactions are serializable if that is the default of their session
    Given lists, registers and sets on one server
    When 8 clients run 120 transactions each, with serializable as the default of their sessions
    Then no transaction saw an anomaly that its level rules out
