"""How long clients could not work: the gap between two acknowledged operations."""

from dataclasses import dataclass
from itertools import pairwise

from support.checkers.finding import Finding, listed
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


def each_client_interrupted_for_less_than(limit: float, history: History, action: str, since: float) -> Finding:
    """No single client had a gap of `limit` seconds or more from `since` (the fault) on.

    Unknown when a client was acknowledged nothing before the fault. The figure is that of the worst off.
    """
    clients = sorted({one.client for one in history.of(action=action)})
    own = {client: History(one for one in history if one.client == client) for client in clients}
    findings = {client: interrupted_for_less_than(limit, own[client], action, since) for client in clients}
    for holds in (False, None):
        if found := [f"client {client}: {one.words}" for client, one in findings.items() if one.holds is holds]:
            return Finding(holds, f"{len(found)} of {len(clients)} clients: {listed(found)}")
    if not clients:
        return Finding.unknown(f"there was no operation ({action})")
    worst = longest_gap_of_any(history, action, since)
    return Finding.true(f"no client of {len(clients)} was interrupted for more than {worst:.2f} s (limit: {limit:g} s)")


def longest_gap_of_any(history: History, action: str, since: float) -> float:
    """The longest gap after `since` that a single client had, in seconds; 0 where there is none."""
    clients = {one.client for one in history.of(action=action)}
    own = (longest_gap(History(one for one in history if one.client == client), action, since) for client in clients)
    return max((gap.seconds for gap in own if gap is not None), default=0.0)
