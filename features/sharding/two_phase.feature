@citus @sharded_entries @several_workers @nodes @schema @patroni @haproxy @members @hosts @destructive @slow @blocker
Feature: A transaction over two workers is never half committed
  In a two-phase commit each worker first promises to commit, and only then commits. If one dies in between, the others
  must keep their promise, and the dead one must learn the outcome when it is back. A transaction that stays in doubt
  blocks others, and nobody should have to resolve it by hand.

  @id.DT-01
  Scenario Outline: A transaction is on both workers or on neither when <what> of a worker dies <moment>
    Given a healthy cluster
    And a transaction that has written to two workers
    When <what> of one of these workers dies <moment>
    Then within <limit> seconds no transaction is in doubt on any node
    And the transaction is on both workers or on neither, as its client was told

    Examples:
      | what       | moment                     | limit |
      | PostgreSQL | before its commit          | 30    |
      | PostgreSQL | after its commit           | 30    |

    @synchronous @replicas
    Examples:
      | what       | moment                     | limit |
      | PostgreSQL | between prepare and commit | 30    |

    @synchronous @replicas @crashes
    Examples:
      | what       | moment                     | limit |
      | the host   | between prepare and commit | 60    |
