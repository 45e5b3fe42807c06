"""What a bench measured: figures beside their floors, how far they spread, and what changed since a baseline."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import numpy
from pydantic import TypeAdapter, ValidationError

from support.errors import UsageError

RATE = "1/s"
"""The unit of which more is better; of every other one less is."""
CHANCE = 0.01
"""What chance may separate two sets of runs by at the most, for a change to count as one."""
MARGIN = 1.2
"""By how many times a ratio differs, at the least, where it changed: two boots of one cluster are not alike either."""


@dataclass(frozen=True)
class Sample:
    """One run: a figure and its floor, measured one right after the other."""

    figure: float
    floor: float | None = None
    why: str = ""
    """Why there is no floor."""


@dataclass(frozen=True)
class Spread:
    """The quartiles of several runs."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Measured:
    """All runs of one row."""

    unit: str
    samples: tuple[Sample, ...]

    @property
    def figure(self) -> Spread:
        return spread([one.figure for one in self.samples])

    @property
    def floor(self) -> float | None:
        """The best that was seen beside any run: what this machine can do. None where it could not be measured."""
        found = [one.floor for one in self.samples if one.floor]
        return (max if self.unit == RATE else min)(found, default=None)

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times its floor each run took; of a rate, how many times as fast its floor was."""
        return tuple(self._times(one.figure, self.floor) for one in self.samples if self.floor)

    @property
    def apart(self) -> float | None:
        """The same, each run beside the floor that was measured with it; the median."""
        found = [self._times(one.figure, one.floor) for one in self.samples if one.floor]
        return spread(found).median if found else None

    def _times(self, figure: float, floor: float) -> float:
        return floor / figure if self.unit == RATE else figure / floor


class Change(StrEnum):
    """What became of a ratio since the baseline."""

    WORSE = "worse"
    BETTER = "better"
    NONE = "as before"
    UNTOLD = "too few runs to tell"


@dataclass(frozen=True)
class Bench:
    """The rows that were measured, by name, and what they were measured on."""

    facts: Mapping[str, str]
    rows: Mapping[str, Measured]
    format: Literal["accept bench 1"] = "accept bench 1"

    def save(self, path: Path) -> None:
        """Write it as JSON. Raises UsageError where that cannot be."""
        try:
            path.write_bytes(_ADAPTER.dump_json(self, indent=2))
        except OSError as error:
            raise UsageError(f"--save {path} cannot be written: {error.strerror}") from None

    @staticmethod
    def load(path: Path) -> "Bench":
        """What `save` wrote. Raises UsageError for any other file."""
        try:
            return _ADAPTER.validate_json(path.read_bytes())
        except OSError as error:
            raise UsageError(f"--against {path} cannot be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise UsageError(f"--against {path} was not written by accept bench: {where}: {first['msg']}") from None


_ADAPTER = TypeAdapter(Bench)


def spread(values: Sequence[float]) -> Spread:
    """The quartiles. Raises ValueError for no values."""
    if not values:
        raise ValueError("nothing has no spread")
    low, median, high = numpy.percentile(values, (25, 50, 75))
    return Spread(float(low), float(median), float(high))


def change(now: Sequence[float], before: Sequence[float]) -> Change:
    """What became of the ratios, beyond their noise.

    Worse: the medians are further apart than those of two boots of the same cluster may be, and so are the runs than
    chance brings about often enough to count with. Where only the former is so, more runs would tell.
    """
    if not now or not before or 1 / math.comb(len(now) + len(before), len(now)) > CHANCE:
        return Change.UNTOLD
    times = spread(now).median / spread(before).median
    if 1 / MARGIN <= times <= MARGIN:
        return Change.NONE
    if chance(now, before) > CHANCE if times > 1 else chance(before, now) > CHANCE:
        return Change.UNTOLD
    return Change.WORSE if times > 1 else Change.BETTER


def chance(higher: Sequence[float], lower: Sequence[float]) -> float:
    """How probable it is that runs of one and the same thing are apart so far (0 to 1).

    The exact test of Mann and Whitney (1947, "On a test of whether one of two random variables is stochastically larger
    than the other"), one-sided: it counts the pairs that are the other way round, and knows nothing of how far.
    """
    wrong = sum(one <= other for one in higher for other in lower)
    return _orders(len(higher), len(lower), wrong) / math.comb(len(higher) + len(lower), len(lower))


def _orders(higher: int, lower: int, most: int) -> int:
    """In how many orders so many runs of either can be with at most so many wrong pairs.

    The numbers of those with just 0, 1, 2, ... are the coefficients of the Gaussian binomial, whose factors are
    multiplied and divided one after the other.
    """
    orders = [1] + [0] * most
    for one in range(1, higher + 1):
        for pairs in range(most, lower + one - 1, -1):
            orders[pairs] -= orders[pairs - lower - one]
        for pairs in range(one, most + 1):
            orders[pairs] += orders[pairs - one]
    return sum(orders)


def changes(now: Bench, before: Bench) -> dict[str, Change]:
    """Of each row that both have."""
    return {name: change(row.ratios, before.rows[name].ratios) for name, row in now.rows.items() if name in before.rows}


def differences(now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    """In what the two were not measured on the same, a line each."""
    for name in sorted({*now, *before}):
        if now.get(name) != before.get(name):
            yield f"{name}: {before.get(name, 'none')} then, {now.get(name, 'none')} now"
