@patroni @haproxy @members @schema @hosts @dcs @dcs_keys @statistics @pools @destructive @slow
Feature: The cluster bears the loss of DCS members
  Who leads is settled in the DCS. It has several members so that one may be lost without anybody noticing; losing most
  of them must cost neither the data nor, with failsafe mode, the service.

  @id.SB-03 @spare_dcs @critical
  Scenario: The DCS losing its leading member changes nothing
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When the leading member of the DCS crashes
    Then the leader renews its lock all the same
    And nothing has changed
    And clients are interrupted for less than 3 seconds

  @id.SB-03 @failsafe @critical
  Scenario: With failsafe mode the leader goes on while the DCS has no quorum
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When a majority of the DCS crashes
    Then nothing flaps for longer than the leader's lock lasts
    And clients are interrupted for less than 3 seconds
    And at no time did two members accept writes

  @id.SB-03 @critical
  Scenario: Without failsafe mode nobody writes while the DCS has no quorum, and service returns with it
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    And no leader may go on without the DCS
    When a majority of the DCS crashes
    Then the target member stops accepting writes before its lock runs out
    And once the fault is healed, writes are accepted again within 30 seconds
    And at no time did two members accept writes
