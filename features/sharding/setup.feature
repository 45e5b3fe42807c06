@citus @workers @schema
Feature: The sharded cluster is set up as designed
  Every promise about shards depends on how the cluster was set up. A table that somebody forgot to distribute works
  like any other, on one machine only; nobody notices until that machine is full.

  @id.CS-01 @nodes @critical
  Scenario: Citus is installed in the same version on every node
    Then the coordinator and every worker have the same version of Citus, in the database and as a library

  @id.CS-02 @blocker @smoke
  Scenario: Every worker takes part, and all nodes reach one another
    Then every worker group is active, takes shards, and has the metadata
    And every node reaches every other

  @id.CS-02 @patroni @nodes @members @replicas @critical
  Scenario: Every replica that may lead next can be reached by the other groups, and reaches them
    The nodes log in to one another's leaders. If only a replica lacks a rule or a password, nobody notices until its
    group fails over and the others can no longer reach it.

    Then each replica that may lead next reaches the nodes of the other groups, and their leaders reach it

  @id.CS-03 @nodes @application_schema @declared_sharding @critical
  Scenario: Tables are distributed by the right column, and co-located with the tables that they are joined with
    Then on every node the distributed tables of the application's schema are distributed as declared

  @id.CS-04 @nodes @application_schema @declared_references @critical
  Scenario: Tables that are joined with everything are reference tables
    Then on every node the reference tables of the application's schema are reference tables
    And each node has a copy of every reference table, read there

  @id.CS-05 @nodes @application_schema @critical
  Scenario: Every shard has the indexes of its table
    The tables that the coordinator shows hold no rows. The indexes that keep keys unique, and those that searches use,
    are on the shards; one that was dropped by hand on a node is missing on that node only. Where a concurrent build
    fails on one node, the index stays invalid on the coordinator, too.

    Then every shard has every index of its table

  @id.CS-06 @nodes @application_schema @sharded_entries @critical
  Scenario: No shard is unlogged
    If its node crashes or its group fails over, an unlogged shard is empty afterwards, and queries that read it return
    fewer rows, without an error. The table that the coordinator shows may be logged all the same.

    Then no shard of the application's tables is unlogged
