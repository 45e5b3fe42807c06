@patroni @members @replicas
Feature: Members could log in to one another anew
  A replication stream that has run for months was let in months ago. If a password was changed since then, or a
  certificate has expired, nobody notices until the stream ends: then no replica, no rewind and no new member gets in.

  @id.ME-03 @admin @destructive @critical
  Scenario: A replica whose stream ends logs in again and streams on
    When the stream of each replica is ended, one after another
    Then each replica has logged in anew and streams within 30 seconds

  @id.ME-03 @hosts @member_files @critical
  Scenario: The members' own credentials open the sessions that streaming, copying and rewinding need
    Then from every member's host, its own credentials are accepted by every other member
