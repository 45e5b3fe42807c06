"""How much of a scenario's time the cluster's own lock made necessary.

What a scenario's time was spent on: waiting for a lock to run out, or the suite's own work and the cluster's.
"""

import time
from collections.abc import Iterable, Sequence
from itertools import pairwise

from support.engine.experiment import Experiment
from support.engine.history import WriterSample
from support.engine.world import World
from support.target.leadership import lease


def takeovers(samples: Iterable[WriterSample]) -> list[float]:
    """When another member than before was first seen to take writes, each time; seconds on the monotonic clock."""
    writing = sorted((one for one in samples if one.writable), key=lambda one: one.ended)
    return [after.ended for before, after in pairwise(writing) if after.member != before.member]


def waited_for_lock(changes: Iterable[float], faults: Sequence[float], *, least: float, most: float) -> float:
    """Seconds in which nobody could take over because the lock of the one before had not run out.

    Each change of leaders is put down to the last fault that began before it, and only the first one of each fault is
    waited for: a member that thaws may take a write or two before it learns that another leads. A lock that nobody
    gave back lasts `least` seconds from the fault on, so that a change that came sooner did not wait for it; after
    `most` seconds it is surely gone, so that what is beyond is nobody's necessity.
    """
    waits: dict[float, float] = {}
    for change in sorted(changes):
        if begun := [one for one in faults if one < change]:
            waits.setdefault(max(begun), change - max(begun))
    return sum(min(wait, most) for wait in waits.values() if wait >= least)


def measure_time_spent(world: World, experiment: Experiment) -> None:
    """Keep both figures for the report, where another member took over and the cluster is well again.

    The lock's share is at most Patroni's ttl and loop_wait for each time that a leader was lost with its lock.
    """
    members = world.cluster.members
    changes = takeovers(look for look in experiment.watch.samples if look.member in members)
    if not changes or experiment.recovered_in is None:
        return
    terms, faults = (
        lease(world.cluster),
        [injected_fault.begun for injected_fault in experiment.nemesis.injected_faults],
    )
    waited = waited_for_lock(changes, faults, least=terms.least_left, most=terms.surely_gone)
    world.measure("lock share", waited, "s")
    world.measure("rest", time.monotonic() - experiment.begun - waited, "s")
