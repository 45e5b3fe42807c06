@patroni @haproxy @members @schema @hosts @crashes @dcs_apart @synchronous @spare_replica @destructive @slow
Feature: The cluster survives losing its leader and its synchronous standby together
  After the loss of a leader its synchronous standby has every acknowledged write. When both are lost together, the only
  replica left may lack some of them. If it took over, they would be lost without anybody noticing. So the cluster has
  to wait for one of the two, and to continue by itself as soon as one is back.

  @id.FO-14 @blocker
  Scenario Outline: After the loss of the leader and its synchronous standby, nobody leads until one is back: <who>
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    When the hosts of the leader and its synchronous standby crash at once
    Then nobody else leads for as long as a failover takes
    And once the host of <who> is back, writes are accepted again within 60 seconds
    And the ledger lost no acknowledged write

    Examples:
      | who                   |
      | the former leader     |
      | a synchronous standby |

  @id.FO-14 @blocker
  Scenario: A replica that missed acknowledged writes does not lead, even if it is the first to come back
    Given a healthy cluster
    And 8 clients appending to a ledger through the write endpoint
    And the host of a replica that no commit waits for is down
    When the hosts of the leader and its synchronous standby crash at once
    And the replica that was down comes back alone
    Then nobody else leads for as long as a failover takes
    And once the host of a synchronous standby is back, writes are accepted again within 60 seconds
    And the ledger lost no acknowledged write
