"""Checks of a logical consumer (change data capture): what was acknowledged reaches it, each client's in order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from support.engine.finding import Finding, listed
from support.engine.history import History, Outcome

CHANGE = "change"


@dataclass(frozen=True)
class Received:
    """A change that reached the consumer: whose, its number among those of that client, and when (monotonic clock)."""

    client: int
    number: int
    at: float


def repeats(received: Sequence[Received]) -> int:
    """How many changes reached the consumer again, after it had confirmed them."""
    return len(received) - len({(one.client, one.number) for one in received})


def no_change_missing(history: History, received: Sequence[Received], fault: float, *, reads: bool = False) -> Finding:
    """Every acknowledged change reached the consumer, and each client's changes for the first time in their order.

    `fault` is when the leader was lost. Unknown unless changes were acknowledged before and after it, and the consumer
    had some of those before. A change whose client got no answer may be missing. `reads`: the consumer still reads
    without an error, so the last changes may yet reach it; then they are only late.
    """
    acknowledged = history.of(action=CHANGE, outcome=Outcome.OK)
    got = {(one.client, one.number) for one in received}
    missing = [one for one in acknowledged if (one.client, int(one.value)) not in got]
    latest = {one.client: one.number for one in sorted(received, key=lambda one: one.number)}
    if missing and reads and all(int(one.value) > latest.get(one.client, -1) for one in missing):
        return Finding.too_late(f"{len(missing)} of {len(acknowledged)} changes have not reached the consumer yet")
    if missing:
        when = [
            f"client {one.client}'s {one.value}, acknowledged {abs(one.ended - fault):.1f} s "
            f"{'after' if one.ended > fault else 'before'} the fault"
            for one in missing
        ]
        return Finding.false(
            f"{len(missing)} of {len(acknowledged)} changes never reached the consumer: {listed(when, 3)}"
        )
    if disordered := _disordered(received):
        return Finding.false(f"the consumer received changes out of order: {listed(disordered, 3)}")
    before = [one for one in acknowledged if one.ended < fault]
    if not before or len(before) == len(acknowledged) or not any(one.at < fault for one in received):
        return Finding.unknown(
            f"{len(before)} changes were acknowledged before the fault, {len(acknowledged) - len(before)} after it; "
            f"the consumer had {sum(one.at < fault for one in received)} before it"
        )
    return Finding.true(f"{len(acknowledged)} changes reached the consumer, {repeats(received)} of them again")


def _disordered(received: Sequence[Received]) -> list[str]:
    """Changes that came for the first time after a later one of the same client."""
    latest, seen = defaultdict[int, int](lambda: -1), set[tuple[int, int]]()
    found = []
    for one in received:
        if (one.client, one.number) not in seen and one.number < latest[one.client]:
            found.append(f"client {one.client}'s {one.number} after its {latest[one.client]}")
        seen.add((one.client, one.number))
        latest[one.client] = max(latest[one.client], one.number)
    return found
