"""Change or chance: whether two series of figures differ by more than their noise.

The exact one-sided test of Mann and Whitney, and a margin below which a difference matters to nobody.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy

SIGNIFICANCE = 0.01
"""A change counts only if the probability that it is noise is at most this."""
MARGIN = 1.2
"""The least factor that counts as a change: two boots of the same cluster also differ."""
ENOUGH = 5
"""Runs on each side that can tell a change."""


@dataclass(frozen=True)
class Spread:
    """The quartiles of several runs."""

    low: float
    median: float
    high: float


class Change(StrEnum):
    """How a figure changed since the baseline."""

    WORSE = "worse"
    BETTER = "better"
    NONE = "no change"
    UNCLEAR = "too few runs to be sure"


def spread(values: Sequence[float]) -> Spread:
    """The quartiles. Raises ValueError if there are no values."""
    if not values:
        raise ValueError("no values, so no quartiles")
    low, median, high = numpy.percentile(values, (25, 50, 75))
    return Spread(float(low), float(median), float(high))


def change(now: Sequence[float], before: Sequence[float]) -> Change:
    """How figures of which less is better changed, beyond noise.

    Worse or better: the medians differ by more than MARGIN, and the difference is significant. If it is not
    significant, the answer is UNCLEAR: more runs are needed to be sure.
    """
    if not now or not before or 1 / math.comb(len(now) + len(before), len(now)) > SIGNIFICANCE:
        return Change.UNCLEAR
    times = _times(now, before)
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


def _times(now: Sequence[float], before: Sequence[float]) -> float:
    """The median as a multiple of the earlier one; of two that are 0 neither is larger."""
    ours, theirs = spread(now).median, spread(before).median
    if theirs == 0:
        return 1.0 if ours == 0 else math.inf
    return ours / theirs


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


def chance_of(failed: int, runs: int, failed_before: int, runs_before: int) -> float:
    """The probability (0 to 1) that at least so many of the failures fall into the later runs if nothing changed.

    The exact one-sided test of Fisher.
    """
    failures, every = failed + failed_before, runs + runs_before
    possible = range(failed, min(failures, runs) + 1)
    return sum(math.comb(runs, one) * math.comb(runs_before, failures - one) for one in possible) / math.comb(
        every, failures
    )
