@citus @nodes @schema @patroni @haproxy @members @hosts @destructive @slow @blocker
Feature: A transaction over two workers is never half done
  Each worker promises to commit before any of them does. If one dies in between, the others must not go back on it,
  and the one that died must learn how it ended: nobody mends what is in doubt by hand, and it blocks whoever comes.

  @id.DT-01
  Scenario Outline: A transaction is whole or nowhere when <what> of a worker dies <moment>
    Given a healthy cluster
    And a transaction that has written to two workers
    When <what> of one of the two dies <moment>
    Then within <limit> seconds no transaction is in doubt on any node
    And the transaction is on both workers or on none, as its client was told

    Examples:
      | what       | moment                     | limit |
      | PostgreSQL | before its commit          | 30    |
      | PostgreSQL | between prepare and commit | 30    |
      | PostgreSQL | after its commit           | 30    |
      | the host   | between prepare and commit | 60    |
