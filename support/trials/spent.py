"""What a scenario's time was spent on: waiting for a lock to run out, or the suite's own work and the cluster's."""

import time

from support.checkers.necessity import takeovers, waited_for_lock
from support.cluster.lease import lease
from support.ordeal import Ordeal
from support.world import World


def measure_time_spent(world: World, ordeal: Ordeal) -> None:
    """Keep both figures for the report, where another member took over and the cluster is well again.

    The lock's share is at most Patroni's ttl and loop_wait for each time that a leader was lost with its lock.
    """
    members = world.cluster.members
    changes = takeovers(look for look in ordeal.watch.samples if look.member in members)
    if not changes or ordeal.recovered_in is None:
        return
    terms, faults = lease(world.cluster), [injury.begun for injury in ordeal.nemesis.injuries]
    waited = waited_for_lock(changes, faults, least=terms.least_left, most=terms.surely_gone)
    world.measure("lock share", waited, "s")
    world.measure("rest", time.monotonic() - ordeal.begun - waited, "s")
