@patroni @haproxy @members @schema @hosts @dcs_hosts @dcs @dcs_keys @statistics @pools @destructive @slow
Feature: The cluster tolerates the loss of DCS members
  The members elect their leader through the DCS (etcd). It has several members of its own so that it keeps its quorum,
  unnoticed, when one is lost. Losing the quorum must cost no data, and with failsafe mode no service either. A network
  can also fail in part: two members of the DCS no longer reach each other, although both reach all others. Then the one
  that does not hear from its leader keeps calling elections, and the databases must not be affected.

  @id.SB-03 @spare_dcs @proxy_apart @critical
  Scenario: The DCS loses its leading member, and the cluster does not change
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When the leading member of the DCS crashes
    Then the leader still renews its lock
    And the leader and the routing are unchanged
    And clients are interrupted for less than 3 seconds

  @id.SB-03 @failsafe @proxy_apart @critical
  Scenario: With failsafe mode, the leader keeps leading while the DCS has no quorum
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When a majority of the DCS crashes
    Then the leader and the routing stay unchanged for longer than the leader's lock lasts
    And clients are interrupted for less than 3 seconds
    And at no time did two members accept writes

  @id.SB-03 @patroni_commands @proxy_apart @critical
  Scenario: Without failsafe mode, nobody writes while the DCS has no quorum, and service returns with it
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    And failsafe mode is off
    When a majority of the DCS crashes
    Then the former leader stops accepting writes before its lock expires
    And once the fault is healed, writes are accepted again within 30 seconds
    And the former leader accepts no further write until the fault is healed
    And at no time did two members accept writes

  @id.SB-04 @spare_dcs @dcs_links @partitions @critical
  Scenario Outline: A broken link within the DCS changes no leader: <which>
    Given a healthy cluster
    And 4 clients appending to a ledger through the write endpoint
    When no packet passes <which>
    Then the leader and the routing stay unchanged for longer than the leader's lock lasts
    And the leader still renews its lock
    And once the fault is healed, the leader and the routing stay unchanged for 10 seconds
    And clients are interrupted for less than 3 seconds

    Examples:
      | which                                                 |
      | between the leading member of the DCS and another one |
      | from the leading member of the DCS to another one     |
