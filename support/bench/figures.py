"""The results of a bench: figures with their floors, their spread, and what changed since a baseline."""

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
"""The one unit of which more is better. Of all others, less is better."""
SIGNIFICANCE = 0.01
"""A change counts only if the probability that it is noise is at most this."""
MARGIN = 1.2
"""The least factor that counts as a change: two boots of the same cluster also differ."""


@dataclass(frozen=True)
class Sample:
    """One run: a figure and the floor measured right after it."""

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
    """All runs of a row."""

    unit: str
    samples: tuple[Sample, ...]

    @property
    def figure(self) -> Spread:
        return spread([one.figure for one in self.samples])

    @property
    def floor(self) -> float | None:
        """The best floor of all runs: what this machine can do. None if it could not be measured."""
        found = [one.floor for one in self.samples if one.floor]
        return (max if self.unit == RATE else min)(found, default=None)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each figure as a multiple of the floor. For a rate: how many times as fast the floor is."""
        return tuple(self._times(one.figure, self.floor) for one in self.samples if self.floor)

    @property
    def paired_ratio(self) -> float | None:
        """The median ratio of each figure to the floor of its own run. None without floors."""
        found = [self._times(one.figure, one.floor) for one in self.samples if one.floor]
        return spread(found).median if found else None

    def _times(self, figure: float, floor: float) -> float:
        return floor / figure if self.unit == RATE else figure / floor


class Change(StrEnum):
    """How a ratio changed since the baseline."""

    WORSE = "worse"
    BETTER = "better"
    NONE = "no change"
    UNCLEAR = "too few runs to tell"


@dataclass(frozen=True)
class Bench:
    """The measured rows by name, and the facts about the machine and the cluster."""

    facts: Mapping[str, str]
    rows: Mapping[str, Measured]
    format: Literal["accept bench 1"] = "accept bench 1"

    def save(self, path: Path) -> None:
        """Write it as JSON. Raises UsageError if the file cannot be written."""
        try:
            path.write_bytes(_ADAPTER.dump_json(self, indent=2))
        except OSError as error:
            raise UsageError(f"--save {path} cannot be written: {error.strerror}") from None

    @staticmethod
    def load(path: Path) -> "Bench":
        """Read what `save` wrote. Raises UsageError for any other file."""
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
    """The quartiles. Raises ValueError if there are no values."""
    if not values:
        raise ValueError("no values, so no quartiles")
    low, median, high = numpy.percentile(values, (25, 50, 75))
    return Spread(float(low), float(median), float(high))


def change(now: Sequence[float], before: Sequence[float]) -> Change:
    """How the ratios changed, beyond noise.

    Worse or better: the medians differ by more than MARGIN, and the difference is significant. If it is not
    significant, the answer is UNCLEAR: more runs would tell.
    """
    if not now or not before or 1 / math.comb(len(now) + len(before), len(now)) > SIGNIFICANCE:
        return Change.UNCLEAR
    times = spread(now).median / spread(before).median
    if 1 / MARGIN <= times <= MARGIN:
        return Change.NONE
    if (probability(now, before) if times > 1 else probability(before, now)) > SIGNIFICANCE:
        return Change.UNCLEAR
    return Change.WORSE if times > 1 else Change.BETTER


def probability(higher: Sequence[float], lower: Sequence[float]) -> float:
    """The probability (0 to 1) that two series of runs of the same thing differ at least this much.

    The exact one-sided test of Mann and Whitney (1947, "On a test of whether one of two random variables is
    stochastically larger than the other"). It counts the pairs in the wrong order, whatever their distance.
    """
    wrong = sum(one <= other for one in higher for other in lower)
    return _orderings(len(higher), len(lower), wrong) / math.comb(len(higher) + len(lower), len(lower))


def _orderings(higher: int, lower: int, most: int) -> int:
    """How many orderings of the runs of both series have at most `most` pairs in the wrong order.

    The numbers of orderings with exactly 0, 1, 2, ... such pairs are the coefficients of the Gaussian binomial. Its
    factors are multiplied and divided one by one.
    """
    orderings = [1] + [0] * most
    for one in range(1, higher + 1):
        for pairs in range(most, lower + one - 1, -1):
            orderings[pairs] -= orderings[pairs - lower - one]
        for pairs in range(one, most + 1):
            orderings[pairs] += orderings[pairs - one]
    return sum(orderings)


def changes(now: Bench, before: Bench) -> dict[str, Change]:
    """The change of each row that both have."""
    return {name: change(row.ratios, before.rows[name].ratios) for name, row in now.rows.items() if name in before.rows}


def differences(now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    """The facts that differ between the two, one line each."""
    for name in sorted({*now, *before}):
        if now.get(name) != before.get(name):
            yield f"{name}: {before.get(name, 'none')} then, {now.get(name, 'none')} now"
