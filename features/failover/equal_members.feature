@members @replicas
Feature: Every member could take the place of any other
  Data are replicated; the software and the settings of a host are not. A replica with an older library, a different
  collation version or a different setting looks healthy until it leads. Then queries fail or miss rows.

  @id.ME-01 @critical
  Scenario: Every member runs the same PostgreSQL, extensions and collation versions
    Then every member runs the same versions

  @id.ME-01 @admin @critical
  Scenario: The libraries of the extensions are the same on every member
    Then every library that the database uses is the same file on every member, and can be used

  @id.ME-01 @critical
  Scenario: Every member sorts text as it was sorted when the indexes were built
    Then each collation in use has its recorded version on every member

  @id.ME-02 @critical
  Scenario: Every setting is the same on all members
    Then every setting that the members should share is the same on all of them

  @id.ME-02 @normal
  Scenario: No setting waits for a restart
    Then no setting of any member waits for a restart
