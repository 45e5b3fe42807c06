"""Whether a cluster has settled after a fault: nothing is pending that could still interrupt its clients."""

from collections.abc import Mapping
from dataclasses import dataclass

from support.engine.finding import Finding, listed


@dataclass(frozen=True)
class GroupLook:
    """What was seen of one group at one moment."""

    at: float
    """Seconds on the monotonic clock, when everything had been asked."""
    owner: str
    """The owner of the lock."""
    made: int
    """Identifies the lock: another one if it was lost meanwhile and taken again."""
    renewed: float
    """When the lock was last renewed, or a little earlier; monotonic clock."""
    wrong: Mapping[str, str]
    """Member -> why it neither leads nor follows as it should. A member that the fault keeps silent is left out."""
    term: int
    """The DCS' term: another one if it has elected a leader since, which extends the lock as if it had been renewed."""


def settled(earlier: GroupLook, later: GroupLook, since: float, loop_wait: float) -> Finding:
    """The leader has renewed its lock twice since then, a loop apart, and every member that can follows it.

    A lock that its owner cannot renew would expire, or make its owner give up, long after clients were served again.
    Whoever has renewed it has reached the DCS, and its own PostgreSQL. Unknown unless all of that was seen. The DCS
    itself may have extended the lock before the first look, but not between two looks of one term.
    """
    for look in (earlier, later):
        if look.wrong:
            wrong: list[object] = [f"{name}: {why}" for name, why in look.wrong.items()]
            return Finding.unknown(f"not every member follows {look.owner}: {listed(wrong)}")
    if (earlier.owner, earlier.made) != (later.owner, later.made):
        return Finding.unknown(f"{earlier.owner} lost the lock, which {later.owner} then acquired")
    if earlier.term != later.term:
        return Finding.unknown(f"the DCS elected a leader meanwhile, which extended the lock of {later.owner}")
    if later.at - earlier.at < loop_wait:
        return Finding.unknown("the two observations are less than a loop apart")
    if earlier.renewed < since or later.renewed < earlier.at:
        return Finding.unknown(f"{later.owner} has not been seen to renew its lock twice")
    return Finding.true(f"{later.owner} renews its lock, and every member that can follows it")
