"""How much of a scenario's time the cluster's own lock made necessary."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from support.history import WriterSample


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
