"""What a row of a bench is, and the ways in which a figure and its floor are measured together."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy

from support.bench.figures import Sample
from support.errors import NotAvailable
from support.target.cluster import Cluster

_SLICES = 5
_WARM_UP = 20  # times that are not counted


@dataclass(frozen=True)
class Site:
    """Where rows are measured. What they store is under the namespace, and removed afterwards."""

    cluster: Cluster
    namespace: str
    cache: str
    """The cache under test, as the setting names it."""


Samples = Generator[Sample, None, None]
"""Run after run, without end; closing it undoes what it set up."""


@dataclass(frozen=True)
class Row:
    """Something whose speed is measured, and what is the least that it could be."""

    name: str
    words: str
    unit: str
    floor: str
    measure: Callable[[Site], Samples] | None
    """None where that is done before there is a cluster."""
    needs: frozenset[str] = frozenset()
    """Capabilities."""
    peer: bool = False
    """Both measure the same: they must agree."""


def beside(figure: float, floor: Callable[[], float]) -> Sample:
    """A figure, and the floor that is measured right after it; why not, where its program is missing."""
    try:
        return Sample(figure, floor())
    except NotAvailable as missing:
        return Sample(figure, None, str(missing))


def alternately(ours: Callable[[], float], theirs: Callable[[], float]) -> Sample:
    """Both in turn, in slices with a connection each: what else the machine does, and where, meets both alike."""
    figures, floors = [], []
    for _ in range(_SLICES):
        slice = beside(ours(), theirs)
        if slice.floor is None:
            return slice
        figures.append(slice.figure)
        floors.append(slice.floor)
    return Sample(float(numpy.median(figures)), float(numpy.median(floors)))


def median_time(perform: Callable[[], object], times: int) -> float:
    """The median in ms of so many times, one right after the other, after some that are not counted."""
    taken = []
    for _ in range(times + _WARM_UP):
        begun = time.perf_counter()
        perform()
        taken.append(time.perf_counter() - begun)
    return 1000 * float(numpy.median(taken[_WARM_UP:]))
