"""Checks of the application's schema, of vector search and of replication lag.

Searches are compared with the true distances, computed here from the stored vectors without the database. Lag comes
from markers: an operation "mark" writes a growing number, and an operation "look" reads it on the replica that is its
key. A replica that shows a number has every marker up to it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from support.engine.checks.availability import could_not_try
from support.engine.finding import Finding, listed
from support.engine.history import History, Operation, Outcome
from support.example_app.index_names import is_one_of
from support.vocabulary import counted

Vector = Sequence[float]
Answer = Sequence[tuple[str, float]]
"""Key and distance of each entry that a search returned, in that order."""
Searched = tuple[Vector, Answer]
"""The vector that was searched for, and the answer."""


class CosineSpace:
    """Stored vectors, and the cosine distance from them to any other, in double precision."""

    def __init__(self, stored: Mapping[str, Vector]) -> None:
        self._keys = list(stored)
        self._rows = {key: number for number, key in enumerate(self._keys)}
        self._units = _unit(numpy.array(list(stored.values()), dtype=float))

    def distances(self, sought: Vector) -> NDArray[numpy.float64]:
        """The distance of every stored vector from that one, in the order in which they were given."""
        found: NDArray[numpy.float64] = 1 - self._units @ _unit(numpy.array(sought, dtype=float))
        return found

    def nearest(self, sought: Vector, count: int) -> list[str]:
        """The keys of the nearest `count`, nearest first."""
        return [self._keys[row] for row in numpy.argsort(self.distances(sought), kind="stable")[:count]]

    def distances_of(self, sought: Vector, keys: Sequence[str]) -> NDArray[numpy.float64]:
        """The true distances of these entries from a vector. Raises KeyError for a key that was never stored."""
        return self.distances(sought)[[self._rows[key] for key in keys]]


def _unit(vectors: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    scaled: NDArray[numpy.float64] = vectors / numpy.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def recall(stored: Mapping[str, Vector], searches: Sequence[Searched], count: int) -> float:
    """The share of the true nearest `count` that searches returned, from 0 to 1. Raises ValueError without searches."""
    if not searches:
        raise ValueError("no searches, so no recall")
    space = CosineSpace(stored)
    found = sum(
        len(set(space.nearest(sought, count)) & {key for key, _ in answer[:count]}) for sought, answer in searches
    )
    return found / (count * len(searches))


def each_finds_its_own(origins: Sequence[Mapping[str, int]], namespace: str, count: int) -> Finding:
    """Every search found `count` entries, all of that namespace. `origins` is, for each search, namespace -> entries.

    Unknown if there was no search.
    """
    if not origins:
        return Finding.unknown("nothing was searched for")
    astray = sum(any(name != namespace for name in found) for found in origins)
    few = [found.get(namespace, 0) for found in origins if found.get(namespace, 0) != count]
    wrong = [f"{astray} found entries of another namespace"] if astray else []
    wrong += [f"{len(few)} did not find {count} entries of their own namespace, but {listed(few)}"] if few else []
    if wrong:
        return Finding.false(f"of {len(origins)} searches {' and '.join(wrong)}")
    return Finding.true(f"{len(origins)} searches found {count} entries each, all of their own namespace")


def every_member_finds(
    origins: Mapping[str, Sequence[Mapping[str, int]]], failed: Mapping[str, str], namespace: str, count: int
) -> Finding:
    """On every member, every search found `count` entries, all of that namespace, and none failed.

    `origins` is member -> for each search, namespace -> entries; `failed` is member -> its first error, if any.
    """
    if wrong := [f"{member}: a search failed: {error}" for member, error in failed.items() if error]:
        return Finding.false("; ".join(wrong))
    found = {member: each_finds_its_own(ones, namespace, count) for member, ones in origins.items()}
    if wrong := [f"{member}: {one.words}" for member, one in found.items() if one.holds is False]:
        return Finding.false("; ".join(wrong))
    if not found or any(one.holds is None for one in found.values()):
        return Finding.unknown(f"not every member was searched: {listed(list(found))}")
    return Finding.true(f"on {' and '.join(found)}, every search found {count} entries of its namespace")


def nothing_failed(history: History, actions: Collection[str]) -> Finding:
    """No operation of these kinds failed or got no answer. Unknown unless one of each kind was done, and where the
    machine of the clients itself could not try one."""
    for action in actions:
        if failed := [one for one in history.of(action=action) if one.outcome is not Outcome.OK and one.tried]:
            operations = counted(len(failed), "operation")
            return Finding.false(f"{operations} ({action}) failed, the first with: {failed[0].error}")
    if untried := could_not_try([one for action in actions for one in history.of(action=action)]):
        return untried
    if missing := [action for action in actions if not history.of(action=action)]:
        return Finding.unknown(f"not done meanwhile: {listed(missing)}")
    return Finding.true(f"{sum(len(history.of(action=action)) for action in actions)} operations, and none failed")


def answers_are_in_order(
    stored: Mapping[str, Vector], searches: Sequence[Searched], count: int, precision: float
) -> Finding:
    """Every search returned `count` different stored entries, nearest first, each with its true distance.

    Unknown if there were no searches.
    """
    if not searches:
        return Finding.unknown("no search was answered")
    space = CosineSpace(stored)
    for number, (sought, answer) in enumerate(searches, 1):
        keys = [key for key, _ in answer]
        fault = _fault_of(keys, stored, count) or _fault_of_distances(sought, answer, space, precision)
        if fault:
            return Finding.false(f"search {number} of {len(searches)}: {fault}")
    return Finding.true(f"{len(searches)} answers of {count}, each in order")


def _fault_of(keys: Sequence[str], stored: Mapping[str, Vector], count: int) -> str:
    if len(keys) != count or len(set(keys)) != count:
        return f"{count} different entries were asked for, {len(keys)} came back, {len(set(keys))} of them different"
    strange = sorted(set(keys) - stored.keys())
    return f"{strange[0]} came back, but was never stored" if strange else ""


def _fault_of_distances(sought: Vector, answer: Answer, space: CosineSpace, precision: float) -> str:
    keys, said = [key for key, _ in answer], numpy.array([distance for _, distance in answer])
    truth = space.distances_of(sought, keys)
    off = numpy.abs(truth - said)
    if off.max() > precision:
        worst = int(off.argmax())
        return f"the distance of {keys[worst]} is {truth[worst]:.6f}, but {said[worst]:.6f} was returned"
    steps = numpy.diff(truth)
    if steps.size and steps.min() < -precision:
        return f"the entry at place {int(steps.argmin()) + 2} is nearer than the one before it"
    return ""


@dataclass(frozen=True)
class Sighting:
    """When one marker arrived on one replica, in seconds from its commit. `lag` is None if it was never seen; it was
    certainly not there `absent_until` seconds after the commit."""

    replica: str
    marker: int
    lag: float | None
    absent_until: float


def sightings(history: History, replicas: Iterable[str]) -> list[Sighting]:
    """One for every replica and every acknowledged marker. Times count from the acknowledgement of the commit."""
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

    Unknown without markers or replicas, or if a replica did not answer for long enough.
    """
    if not found:
        return Finding.unknown("no marker was written, or there was no replica")
    late = [one for one in found if (one.lag if one.lag is not None else one.absent_until) >= limit]
    if late:
        names = sorted({one.replica for one in late})
        longest = max(one.lag if one.lag is not None else one.absent_until for one in late)
        return Finding.too_late(
            f"{len(late)} of {len(found)} times a marker appeared after {limit:g} s or never, on {listed(names)}; "
            f"the longest took {longest:.1f} s or more"
        )
    unseen = sorted({one.replica for one in found if one.lag is None})
    if unseen:
        return Finding.unknown(
            f"markers were not seen on replicas that did not answer for long enough: {listed(unseen)}"
        )
    return Finding.true(f"markers appeared {len(found)} times, the latest after {longest_lag(found):.3f} s")


def longest_lag(found: list[Sighting]) -> float:
    """The longest lag of any marker, in seconds; for one never seen, how long it was certainly not there."""
    return max((one.lag if one.lag is not None else one.absent_until for one in found), default=0.0)


def clients_worked_meanwhile(history: History, action: str, clients: int) -> Finding:
    """Each client had a write acknowledged between the first marker and the last. Unknown if one had not."""
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


def went_by_index(used: Sequence[Collection[str]], meant: Collection[str]) -> Finding:
    """Every plan uses one of the `meant` indexes, and no other.

    They may be those of the table's partitions and shards. Unknown without plans.
    """
    if not used:
        return Finding.unknown("there is no plan")
    if not meant:
        return Finding.false("there is no valid HNSW index for this metric")
    astray = [names for names in used if not names or not all(is_one_of(name, meant) for name in names)]
    if astray:
        instead = f"by {', '.join(sorted(astray[0]))}" if astray[0] else "by no index"
        return Finding.false(f"{len(astray)} of {len(used)} searches went {instead}, not by {_any_of(meant)}")
    return Finding.true(f"{len(used)} searches by {_any_of(meant)}")


def _any_of(indexes: Collection[str]) -> str:
    return listed(sorted(indexes), most=3) if len(indexes) > 2 else " or ".join(sorted(indexes))


def as_the_schema_says(what: str, expected: Collection[str], there: Collection[str], amiss: Sequence[str]) -> Finding:
    """The tables are as the application's schema declares them in one respect.

    `expected` are the tables with such a declaration, `there` those that exist, and `amiss` the deviations, one line
    each. Unknown if nothing is declared, or if a table with a declaration does not exist.
    """
    if amiss:
        return Finding.false("; ".join(amiss))
    absent = sorted({*expected} - {*there})
    if absent:
        return Finding.unknown(f"the {what} of {listed(absent)} cannot be judged: no such table")
    if not expected:
        return Finding.unknown(f"the schema names no {what}: nothing to judge")
    return Finding.true(f"the {what} of {len(expected)} tables are as expected")
