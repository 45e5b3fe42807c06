"""How long clients could not work: the gap between two acknowledged operations."""

from dataclasses import dataclass
from itertools import pairwise

from support.checkers.finding import Finding
from support.history import History, Outcome


@dataclass(frozen=True)
class Gap:
    """The longest time without an acknowledged operation, in seconds of the history's clock."""

    begun: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


def longest_gap(history: History, action: str, since: float) -> Gap | None:
    """The longest gap that ended after `since`; None when no operation was acknowledged after it."""
    ends = sorted(one.ended for one in history.of(action=action, outcome=Outcome.OK))
    gaps = [Gap(one, other) for one, other in pairwise(ends) if other > since]
    return max(gaps, key=lambda gap: gap.seconds, default=None)


def interrupted_for_less_than(limit: float, history: History, action: str, since: float) -> Finding:
    """No gap of `limit` seconds or more from `since` (the fault) on; unknown when clients never worked again."""
    acknowledged = history.of(action=action, outcome=Outcome.OK)
    if not any(one.ended <= since for one in acknowledged):
        return Finding.unknown("no operation was acknowledged before the fault")
    gap = longest_gap(history, action, since)
    if gap is None:
        last = max(one.ended for one in history)
        return Finding.false(f"no operation was acknowledged in the {last - since:.1f} s after the fault")
    words = f"clients were interrupted for {gap.seconds:.2f} s (limit: {limit:g} s)"
    return Finding.true(words) if gap.seconds < limit else Finding.false(words)
