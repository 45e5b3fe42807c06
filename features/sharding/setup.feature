@citus @schema
Feature: The sharded cluster is set up as designed
  Whatever a cluster promises about its shards rests on how it was set up. A table that was forgotten works as any
  other, on one machine alone; nobody sees it until that machine is full.

  @id.CS-01 @nodes @critical
  Scenario: Citus is installed in the same version on every node
    Then the coordinator and every worker have the same version of Citus, in the database and as a library

  @id.CS-02 @blocker
  Scenario: Every worker takes part, and all nodes reach one another
    Then every worker group is active, takes shards, and has the metadata
    And every node reaches every other

  @id.CS-03 @nodes @application_schema @declared_sharding @critical
  Scenario: Tables are distributed by the right column, next to those that they are joined with
    Then every node has the distributed tables of the application's schema distributed as declared

  @id.CS-04 @nodes @application_schema @declared_sharding @critical
  Scenario: Tables that are joined with everything are reference tables
    Then every node has the reference tables of the application's schema as reference tables
    And each node has a copy of every reference table, read there
