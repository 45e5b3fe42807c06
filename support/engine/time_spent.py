"""How much of a scenario's time was spent waiting for a leader's lock to expire."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from support.engine.experiment import Experiment
from support.engine.history import WriterSample
from support.engine.world import World
from support.target.leadership import lease

LOCK = "spent waiting for the lock to expire"
"""The name of that figure."""


def measure_time_spent(world: World, experiment: Experiment) -> None:
    """Keep that figure for the report, if another member took over and the cluster is healthy again.

    A leader that is lost cannot give its lock back, so nobody can take over before the lock expires: at most Patroni's
    ttl and loop_wait for each lost leader. Only what is left depends on the cluster's and the suite's speed.
    """
    members = world.cluster.members
    changes = takeovers(sample for sample in experiment.watch.samples if sample.member in members)
    if not changes or experiment.recovered_in is None:
        return
    terms, faults = lease(world.cluster), [one.begun for one in experiment.faults]
    waited = waited_for_lock(changes, faults, least=terms.least_left, most=terms.surely_gone)
    world.measure(LOCK, waited, "s")


def takeovers(samples: Iterable[WriterSample]) -> list[float]:
    """When a different member than before was first seen to be writable, each time; seconds, monotonic clock."""
    writing = sorted((one for one in samples if one.writable), key=lambda one: one.ended)
    return [after.ended for before, after in pairwise(writing) if after.member != before.member]


def waited_for_lock(changes: Iterable[float], faults: Sequence[float], *, least: float, most: float) -> float:
    """Seconds in which nobody could take over because the former leader's lock had not expired.

    Each change of leaders is attributed to the last fault that began before it. Only the first change after a fault
    counts: a member that thaws may seem writable for a moment before it learns that another one leads. A change sooner
    than `least` seconds after the fault did not wait for the lock; after `most` seconds the lock is certainly gone, so
    a longer wait counts as `most`.
    """
    waits: dict[float, float] = {}
    for change in sorted(changes):
        if begun := [one for one in faults if one < change]:
            waits.setdefault(max(begun), change - max(begun))
    return sum(min(wait, most) for wait in waits.values() if wait >= least)
