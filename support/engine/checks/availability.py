"""Whether clients could work: how long they were interrupted, whether all succeeded, and how fast they were.

An interruption is a gap between two acknowledged operations.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from support.engine.finding import Finding, explained, listed
from support.engine.history import History, Operation, Outcome, durations

INTERRUPTION = 1.0
"""Seconds without an acknowledgement from which on service was interrupted; any two acknowledgements are apart."""


@dataclass(frozen=True)
class Gap:
    """A time without an acknowledged operation, in seconds of the history's clock."""

    begun: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


def gaps(history: History, action: str | None, since: float, until: float | None = None) -> list[Gap]:
    """Every gap in the acknowledgements of an action (None: of any) that ended after `since`, in their order.

    `until` is the moment up to which clients were watched: the silence between the last acknowledgement and that moment
    is a gap as well, which is still open. Without it, only gaps that an acknowledgement ended are known.
    """
    ends = sorted(one.ended for one in history.of(action=action, outcome=Outcome.OK))
    if until is not None:
        ends = [one for one in ends if one < until] + [until]
    if ends and ends[0] > since:
        ends.insert(0, since)  # nothing was acknowledged before: the first gap begins with the fault
    return [Gap(one, other) for one, other in pairwise(ends) if other > since]


def longest_gap(history: History, action: str | None, since: float, until: float | None = None) -> Gap | None:
    """The longest of these gaps; None without one."""
    return max(gaps(history, action, since, until), key=lambda gap: gap.seconds, default=None)


def watched_to_the_end(gap: Gap | None, since: float, follow_up: float) -> float:
    """The moment until which clients must be watched: `follow_up` seconds after the fault, or after service came back.

    `gap` is the longest since the fault (`since`), as far as is known. A shorter one than INTERRUPTION is none.
    """
    back = since if gap is None or gap.seconds < INTERRUPTION else max(gap.ended, since)
    return back + follow_up


def every_client_got_through(history: History, action: str, clients: int, since: float, until: float) -> Finding:
    """Each of the clients had an operation acknowledged in that time: none hangs in one, and none is locked out."""
    last: dict[int, float] = {}
    for one in history.of(action=action, outcome=Outcome.OK):
        if one.ended <= until:
            last[one.client] = max(one.ended, last.get(one.client, one.ended))
    silent = [client for client in range(clients) if last.get(client, since) <= since]
    if not silent:
        return Finding.true(f"each of {clients} clients got through again")
    told: list[object] = [
        f"client {client} for {until - last[client]:.1f} s" if client in last else f"client {client} at any time"
        for client in silent
    ]
    words = f"{len(silent)} of {clients} clients had no operation acknowledged: {listed(told)}"
    return Finding.too_late(words, (since, until), never_came=True)


def interrupted_for_less_than(
    limit: float, history: History, action: str, since: float, until: float | None = None
) -> Finding:
    """No gap of `limit` seconds or more since `since` (the fault), nor one that is open at `until`.

    False if clients never worked again, unknown if nothing was acknowledged before the fault.
    """
    acknowledged = history.of(action=action, outcome=Outcome.OK)
    if not any(one.ended <= since for one in acknowledged):
        return Finding.unknown("no operation was acknowledged before the fault")
    gap = longest_gap(history, action, since, until)
    if gap is None or not any(one.ended > since for one in acknowledged):
        last = max(one.ended for one in history) if until is None else until
        words = f"no operation was acknowledged in the {last - since:.1f} s after the fault (limit: {limit:g} s)"
        return Finding.too_late(words, (since, last), limit=limit)
    open_still = " and had not recovered by the end" if gap.ended == until and gap.seconds >= limit else ""
    words = f"clients were interrupted for {gap.seconds:.2f} s{open_still} (limit: {limit:g} s)"
    too_long = [(one.begun, one.ended) for one in gaps(history, action, since, until) if one.seconds >= limit]
    return Finding.within_limit(gap.seconds < limit, words, *too_long, limit=limit)


def each_client_interrupted_for_less_than(limit: float, history: History, action: str, since: float) -> Finding:
    """No single client had a gap of `limit` seconds or more since `since` (the fault).

    Unknown if a client had no operation acknowledged before the fault. The figure is the longest gap of any client.
    """
    clients = sorted({one.client for one in history.of(action=action)})
    own = {client: History(one for one in history if one.client == client) for client in clients}
    findings = {client: interrupted_for_less_than(limit, own[client], action, since) for client in clients}
    for holds in (False, None):
        if found := {client: one for client, one in findings.items() if one.holds is holds}:
            told = listed([f"client {client}: {one.words}" for client, one in found.items()])
            during = tuple(moments for one in found.values() for moments in one.during)
            words = f"{len(found)} of {len(clients)} clients: {told}"
            return Finding(holds, words, only_limit=True, during=during, limit=limit)
    if not clients:
        return Finding.unknown(f"there was no operation ({action})")
    worst = longest_gap_of_any_client(history, action, since)
    return Finding.true(f"no client of {len(clients)} was interrupted for more than {worst:.2f} s (limit: {limit:g} s)")


def longest_gap_of_any_client(history: History, action: str, since: float) -> float:
    """The longest gap of a single client after `since`, in seconds; 0 if there is none."""
    clients = {one.client for one in history.of(action=action)}
    own = (longest_gap(History(one for one in history if one.client == client), action, since) for client in clients)
    return max((gap.seconds for gap in own if gap is not None), default=0.0)


def nothing_acknowledged(history: History, action: str, begun: float, ended: float) -> Finding:
    """No operation of that kind that began and ended between these two moments was acknowledged.

    Unknown if none was acknowledged before, or if none was tried in between.
    """
    tried = history.of(action=action)
    meanwhile = [one for one in tried if begun <= one.begun and one.ended <= ended]
    if not any(one.outcome is Outcome.OK and one.ended <= begun for one in tried):
        return Finding.unknown(f"no operation ({action}) was acknowledged before")
    if not meanwhile:
        return Finding.unknown(f"no operation ({action}) was tried in these {ended - begun:.1f} s")
    acknowledged = [one for one in meanwhile if one.outcome is Outcome.OK]
    taken: list[object] = [f"{one.value} after {one.ended - begun:.2f} s" for one in acknowledged]
    if taken:
        names = explained([one.value for one in acknowledged])
        return Finding.false(f"{len(taken)} of {len(meanwhile)} writes were acknowledged: {listed(taken)}{names}")
    return Finding.true(f"none of {len(meanwhile)} writes was acknowledged in {ended - begun:.1f} s")


def every_client_succeeded(history: History, action: str, clients: int, times: int) -> Finding:
    """Each of the clients tried that action `times` times, and each attempt was acknowledged.

    Unknown unless there was a moment at which all of them were working, and where the machine of the clients itself
    could not try.
    """
    tried = history.of(action=action)
    refused = [operation for operation in tried if operation.outcome is not Outcome.OK and operation.tried]
    if refused:
        return Finding.false(
            f"{len(refused)} of {len(tried)} operations ({action}) did not succeed, the first: {refused[0].error}"
        )
    if untried := could_not_try(tried):
        return untried
    counts = Counter(operation.client for operation in tried)
    short = [f"client {client}: {counts[client]}" for client in range(clients) if counts[client] != times]
    if short:
        return Finding.false(f"each client should have done {times} operations ({action}): {listed(short)}")
    if not _all_at_once(history, action):
        return Finding.unknown("there was no moment when all clients were active")
    return Finding.true(f"{len(tried)} operations ({action}) of {clients} clients at once, all acknowledged")


def could_not_try(operations: Sequence[Operation]) -> Finding | None:
    """An unknown finding if the machine of the clients could not even try one of these operations; else None."""
    found = [operation for operation in operations if not operation.tried]
    if not found:
        return None
    words = f"{len(found)} of {len(operations)} operations could not be tried, the first: {found[0].error}"
    return Finding.unknown(words)


def _all_at_once(history: History, action: str) -> bool:
    begun: dict[int, float] = {}
    ended: dict[int, float] = {}
    for operation in history.of(action=action):
        begun[operation.client] = min(operation.begun, begun.get(operation.client, operation.begun))
        ended[operation.client] = max(operation.ended, ended.get(operation.client, operation.ended))
    return max(begun.values()) < min(ended.values())


def percentile_is_under(history: History, action: str, share: float, limit: float) -> Finding:
    """All operations succeeded, and `share` per cent of them in under `limit` ms.

    Unknown if there are so few that the percentile would be one of the worst five, and where the machine of the clients
    itself could not try one.
    """
    every = history.of(action=action)
    refused = [operation for operation in every if operation.outcome is not Outcome.OK and operation.tried]
    if refused:
        return Finding.false(f"{len(refused)} of {len(every)} ended in an error, the first: {refused[0].error}")
    if untried := could_not_try(every):
        return untried
    needed = math.ceil(5 / (1 - share / 100))
    if len(every) < needed:
        return Finding.unknown(f"only {len(every)} samples; a {share:g}th percentile needs {needed}")
    found = durations(history, action)
    said = (
        f"the {share:g}th percentile of {len(every)} is {found.percentile(share):.1f} ms (limit: {limit:g} ms; "
        f"median {found.percentile(50):.1f} ms, longest {found.milliseconds[-1]:.1f} ms)"
    )
    return Finding.within_limit(found.percentile(share) < limit, said)


def every_client_worked(history: History, action: str, clients: int, during: tuple[float, float]) -> Finding:
    """Each of the clients had an operation acknowledged in that time; unknown if one had not."""
    begun, ended = during
    done = Counter(one.client for one in history.of(action=action, outcome=Outcome.OK) if begun < one.ended < ended)
    idle = [client for client in range(clients) if not done[client]]
    if idle or not clients:
        return Finding.unknown(f"in those {ended - begun:.1f} s nothing was acknowledged to the clients {listed(idle)}")
    return Finding.true(f"each of {clients} clients, {done.total()} operations in {ended - begun:.1f} s")
