"""Whether a search found what is really nearest, computed from what was stored, past the database."""

from collections.abc import Mapping, Sequence

import numpy
from numpy.typing import NDArray

from support.checkers.finding import Finding, listed

Vector = Sequence[float]
Answer = Sequence[tuple[str, float]]
"""Key and distance of each entry that a search returned, in its order."""


Searched = tuple[Vector, Answer]
"""One search: the vector that was searched for, and what came back."""


class CosineSpace:
    """Stored vectors, and the cosine distance from them to any other, in double precision."""

    def __init__(self, stored: Mapping[str, Vector]) -> None:
        self._keys = list(stored)
        self._rows = {key: number for number, key in enumerate(self._keys)}
        self._units = _unit(numpy.array(list(stored.values()), dtype=float))

    def distances(self, sought: Vector) -> NDArray[numpy.float64]:
        """From every stored vector to that one, in the order in which they were given."""
        found: NDArray[numpy.float64] = 1 - self._units @ _unit(numpy.array(sought, dtype=float))
        return found

    def nearest(self, sought: Vector, count: int) -> list[str]:
        """The keys of the nearest, the nearest first."""
        return [self._keys[row] for row in numpy.argsort(self.distances(sought), kind="stable")[:count]]

    def distances_of(self, sought: Vector, keys: Sequence[str]) -> NDArray[numpy.float64]:
        """The true distances of some entries from a vector. Raises KeyError for a key that was never stored."""
        return self.distances(sought)[[self._rows[key] for key in keys]]


def _unit(vectors: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    scaled: NDArray[numpy.float64] = vectors / numpy.linalg.norm(vectors, axis=-1, keepdims=True)
    return scaled


def recall(stored: Mapping[str, Vector], searches: Sequence[Searched], count: int) -> float:
    """The share of the true nearest `count` that the searches returned, from 0 to 1. Raises ValueError for none."""
    if not searches:
        raise ValueError("there is no recall of no searches")
    space = CosineSpace(stored)
    found = sum(
        len(set(space.nearest(sought, count)) & {key for key, _ in answer[:count]}) for sought, answer in searches
    )
    return found / (count * len(searches))


def each_finds_its_own(origins: Sequence[Mapping[str, int]], namespace: str, count: int) -> Finding:
    """Every search found `count` entries, all of that namespace; for each search, how many it found of which one.

    Unknown when there was no search.
    """
    if not origins:
        return Finding.unknown("nothing was searched for")
    strangers = sum(any(name != namespace for name in found) for found in origins)
    few = [found.get(namespace, 0) for found in origins if found.get(namespace, 0) != count]
    wrong = [f"{strangers} found entries of another namespace"] if strangers else []
    wrong += [f"{len(few)} did not find {count} entries of their own namespace, but {listed(few)}"] if few else []
    if wrong:
        return Finding.false(f"of {len(origins)} searches {' and '.join(wrong)}")
    return Finding.true(f"{len(origins)} searches found {count} entries each, all of their own namespace")


def answers_are_in_order(
    stored: Mapping[str, Vector], searches: Sequence[Searched], count: int, precision: float
) -> Finding:
    """Every search returned `count` different stored entries, nearest first, each with its true distance.

    Unknown when there were no searches.
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
    return f"{strange[0]} came back and was never stored" if strange else ""


def _fault_of_distances(sought: Vector, answer: Answer, space: CosineSpace, precision: float) -> str:
    keys, said = [key for key, _ in answer], numpy.array([distance for _, distance in answer])
    truth = space.distances_of(sought, keys)
    off = numpy.abs(truth - said)
    if off.max() > precision:
        worst = int(off.argmax())
        return f"the distance of {keys[worst]} is {truth[worst]:.6f}, and {said[worst]:.6f} was answered"
    steps = numpy.diff(truth)
    if steps.size and steps.min() < -precision:
        return f"place {int(steps.argmin()) + 2} is nearer than the one before it"
    return ""
