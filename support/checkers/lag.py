"""How far replicas were behind, from markers that one client wrote and others looked for.

A marker is an operation "mark" whose value is a number that grows; a look at a replica is an operation "look" whose
key is the replica's name and whose value the number that it showed. It has every marker up to that number.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from support.checkers.finding import Finding, listed
from support.history import History, Operation, Outcome


@dataclass(frozen=True)
class Sighting:
    """What became of one marker on one replica. `lag` is None when it was never seen; then it was certainly not
    there `absent_until` seconds after its commit."""

    replica: str
    marker: int
    lag: float | None
    absent_until: float


def sightings(history: History, replicas: Iterable[str]) -> list[Sighting]:
    """For every replica and every acknowledged marker. Seconds, from the commit's acknowledgement."""
    marks = history.of(action="mark", outcome=Outcome.OK)
    looks = history.of(action="look", outcome=Outcome.OK)
    return [
        _sighting(mark, replica, [look for look in looks if look.key == replica])
        for replica in replicas
        for mark in marks
    ]


def _sighting(mark: Operation, replica: str, looks: list[Operation]) -> Sighting:
    seen = [look.ended - mark.ended for look in looks if look.value >= mark.value]
    absent = [look.begun - mark.ended for look in looks if look.value < mark.value]
    lag = max(0.0, min(seen)) if seen else None
    return Sighting(replica, int(mark.value), lag, max(absent, default=0.0))


def every_marker_arrived(found: list[Sighting], limit: float) -> Finding:
    """Each marker was seen on each replica within `limit` seconds of its commit.

    Unknown when there were no markers or no replicas, or when a replica could not be looked at long enough.
    """
    if not found:
        return Finding.unknown("no marker was written, or there was no replica to look at")
    late = [one for one in found if (one.lag if one.lag is not None else one.absent_until) >= limit]
    if late:
        names = sorted({one.replica for one in late})
        longest = max(one.lag if one.lag is not None else one.absent_until for one in late)
        return Finding.false(
            f"{len(late)} of {len(found)} sightings of markers came after {limit:g} s or never, on {listed(names)}; "
            f"the longest took {longest:.1f} s or more"
        )
    unseen = sorted({one.replica for one in found if one.lag is None})
    if unseen:
        return Finding.unknown(
            f"markers that were not seen, on replicas that did not answer long enough: {listed(unseen)}"
        )
    return Finding.true(f"{len(found)} sightings of markers, the latest after {longest_lag(found):.3f} s")


def longest_lag(found: list[Sighting]) -> float:
    """The longest that any marker took, in seconds; for one never seen, how long it was certainly not there."""
    return max((one.lag if one.lag is not None else one.absent_until for one in found), default=0.0)


def clients_worked_meanwhile(history: History, action: str, clients: int) -> Finding:
    """Each client had a write acknowledged after the first marker and before the last. Unknown when one had not."""
    marks = history.of(action="mark", outcome=Outcome.OK)
    if len(marks) < 2:
        return Finding.unknown("fewer than two markers were written")
    first, last = marks[0].begun, marks[-1].ended
    done = history.of(action=action, outcome=Outcome.OK)
    busy = {operation.client for operation in done if first < operation.begun and operation.ended < last}
    idle = [str(client) for client in range(clients) if client not in busy]
    if idle:
        return Finding.unknown(f"clients that wrote nothing while the markers were written: {listed(idle)}")
    return Finding.true(f"{clients} clients wrote meanwhile")
