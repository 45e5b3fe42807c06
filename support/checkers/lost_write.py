"""What a cache serves of a write that a failover has lost."""

from typing import Any

from support.checkers.finding import Finding
from support.checkers.staleness import reads_of
from support.history import History, Outcome


def forgotten_within(bound: float, history: History, lost: Any, kept: Any, since: float, clients: int) -> Finding:
    """No read that began more than `bound` seconds after `since` (another member led) served the lost value.

    Unknown unless the lost value was a hit at some time, and every client was served what was kept after `since`.
    Reads that ended in an error say nothing: while there is no leader, only what is cached can be had.
    """
    reads = [one for one in reads_of(history) if one.outcome is Outcome.OK]
    if strange := [one for one in reads if one.value not in (lost, kept)]:
        return Finding.false(f"{len(strange)} of {len(reads)} reads served what nobody wrote: {strange[0].value!r}")
    if not any(one.action == "hit" and one.value == lost for one in reads):
        return Finding.unknown("what was lost was never served out of the cache")
    served_for = last_served(history, lost, since)
    if served_for > bound:
        return Finding.false(
            f"what the failover lost was served for {served_for:.1f} s after another member led (allowed: {bound:g} s)"
        )
    back = {one.client for one in reads if one.value == kept and one.begun > since}
    if len(back) < clients:
        return Finding.unknown(f"{clients - len(back)} of {clients} clients read nothing after another member led")
    return Finding.true(f"what the failover lost was served for {served_for:.1f} s after another member led")


def last_served(history: History, lost: Any, since: float) -> float:
    """For how many seconds after `since` reads began that served the lost value; 0 where none did."""
    return max([0.0, *(one.begun - since for one in reads_of(history) if one.value == lost)])
