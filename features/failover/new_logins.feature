@patroni @members @replicas
Feature: Members can still log in to one another
  A replication stream that has run for months authenticated months ago. If a password has been changed since then, or a
  certificate has expired, nobody notices until the stream ends: then replicas, rewinds and new members are all refused.

  @id.ME-03 @admin @streaming_replicas @destructive @critical
  Scenario: A replica whose stream ends logs in again and resumes streaming
    When the stream of each replica is ended, one after another
    Then each replica has logged in again and streams within 30 seconds

  @id.ME-03 @hosts @member_files @critical
  Scenario: The members' own credentials open the sessions that streaming, copying and rewinding need
    Then from every member's host, its own credentials are accepted by every other member
