@patroni @haproxy @members @schema @destructive @slow @critical
Feature: The endpoints send no client to a failed member
  An application knows the endpoints and no members. It cannot see that the replica that answers it lags minutes
  behind, or that the member at the other end of its session is gone. The proxy has to see that for it: reads go to
  replicas that keep up, and sessions on a lost member are cut, because a connection pool replaces only connections it
  knows are dead.

  @id.RW-03 @hosts @serving_replicas @small_read_lag
  Scenario: A replica that is too far behind serves no reads until it has caught up
    Given a healthy cluster
    When a replica falls further behind than is allowed
    Then the affected member leaves the read endpoint within 10 seconds
    And once the fault is healed, it is back in the read endpoint within 10 seconds

  @id.RW-03 @hosts @partitions @serving_replicas
  Scenario: A replica that lost its stream serves no reads until it streams again
    Given a healthy cluster
    When a replica loses its stream
    Then the affected member leaves the read endpoint within 15 seconds
    And once the fault is healed, it is back in the read endpoint within 15 seconds

  @id.HP-03 @backends @hosts @crashes
  Scenario: Sessions on a leader whose host crashes are cut at once
    Given a healthy cluster
    And 20 idle sessions through the write endpoint
    When the host of the leader crashes
    Then each of these sessions is cut within 8 seconds

  @id.HP-03 @backends @hosts
  Scenario: Sessions on a leader whose host freezes are cut at once
    Given a healthy cluster
    And 20 idle sessions through the write endpoint
    When the host of the leader freezes
    Then each of these sessions is cut within 8 seconds

  @id.HP-03 @patroni_commands @backends @replicas
  Scenario: Sessions on a leader that hands over are cut at once
    Given a healthy cluster
    And 20 idle sessions through the write endpoint
    When a switchover to any replica is requested
    Then each of these sessions is cut within 8 seconds

  @id.HP-03 @read_backends @hosts @crashes @serving_replicas
  Scenario: Sessions on a replica whose host crashes are cut at once
    Given a healthy cluster
    And 20 idle sessions through the read endpoint
    When the host of a replica that has some of these sessions crashes
    Then each of its sessions is cut within 8 seconds

  @id.HP-03 @read_backends @hosts @serving_replicas
  Scenario: Sessions on a replica whose host freezes are cut at once
    Given a healthy cluster
    And 20 idle sessions through the read endpoint
    When the host of a replica that has some of these sessions freezes
    Then each of its sessions is cut within 8 seconds

  @id.HP-04 @backends @hosts @crashes @proxy_host @proxy_reload @statistics @pools
  Scenario: Sessions from before a reload of the proxy are cut when the leader's host crashes
    Given a healthy cluster
    And 20 idle sessions through the write endpoint
    And the proxy has been reloaded since
    When the host of the leader crashes
    Then each of these sessions is cut within 8 seconds

  @id.HP-04 @backends @hosts @partitions @proxy_host @proxy_reload @statistics @pools
  Scenario: Sessions from before a reload of the proxy are cut when the leader is cut off
    Given a healthy cluster
    And 20 idle sessions through the write endpoint
    And the proxy has been reloaded since
    When the leader is cut off from every other host
    Then each of these sessions is cut within 8 seconds

  @id.FO-19 @replicas
  Scenario Outline: When <event>, no read-only member is reported as the primary for longer than 5 seconds
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    And every member is asked continuously whether it is the primary
    When <event>
    And another member leads
    And the fault is healed
    Then the affected member streams as a replica within 60 seconds
    And no member was reported as the primary for longer than 5 seconds while it was read-only

    @patroni_commands
    Examples:
      | event                                    |
      | a switchover to any replica is requested |

    @hosts @crashes
    Examples:
      | event                           |
      | the host of the leader crashes |

    @hosts
    Examples:
      | event                          |
      | the host of the leader freezes |
