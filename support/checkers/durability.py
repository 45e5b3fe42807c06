"""Acknowledged writes are kept, and each is there once.

An append is an operation with action "append" and a value that no other append has; the final read is one with
action "read", whose value is the list of everything that was found.
"""

from collections import Counter
from collections.abc import Iterable

from support.checkers.finding import Finding, listed
from support.history import History, Operation, Outcome


def no_acknowledged_write_lost(history: History, fault: tuple[float, float] | None = None) -> Finding:
    """Every acknowledged append is in the final read.

    An append with an unknown outcome may be there ("recovered") or not. Unknown when the ledger was never read back
    after the last append began, or when nothing was acknowledged, or, where `fault` (its start and its end, in the
    history's clock) is given, when nothing was acknowledged before it began, or nothing after it began.
    """
    appends = history.of(action="append")
    acknowledged = [one for one in appends if one.outcome is Outcome.OK]
    found = _final_read(history, appends)
    if found is None:
        return Finding.unknown("the ledger was never read back after the last append")
    gap = _no_evidence(acknowledged, fault)
    if gap:
        return Finding.unknown(gap)
    lost = lost_writes(history)
    unknown = [one for one in appends if one.outcome is Outcome.UNKNOWN]
    there = set(found)
    recovered = sum(one.value in there for one in unknown)
    counted = f"of {len(acknowledged)} acknowledged writes"
    if lost:
        return Finding.false(f"{len(lost)} {counted} lost: {listed(lost)}")
    return Finding.true(f"0 {counted} lost; {recovered} of {len(unknown)} unknown ones were there")


def lost_writes(history: History) -> list[object]:
    """The acknowledged appends that are not in the final read; all of them where there is no such read."""
    there = set(_final_read(history, history.of(action="append")) or ())
    return [one.value for one in history.of(action="append", outcome=Outcome.OK) if one.value not in there]


def each_write_once(history: History) -> Finding:
    """Nothing is in the final read twice, and nothing is there that was refused or never written."""
    appends = history.of(action="append")
    found = _final_read(history, appends)
    if found is None:
        return Finding.unknown("the ledger was never read back after the last append")
    if not any(one.outcome is Outcome.OK for one in appends):
        return Finding.unknown("no write was acknowledged")
    twice: list[object] = [value for value, times in Counter(found).items() if times > 1]
    possible = {one.value for one in appends if one.outcome is not Outcome.FAIL}
    strange: list[object] = [value for value in found if value not in possible]
    if twice:
        return Finding.false(f"{len(twice)} writes are there more than once: {listed(twice)}")
    if strange:
        return Finding.false(f"{len(strange)} entries are there that no client wrote: {listed(strange)}")
    return Finding.true(f"each of {len(found)} entries is there once, and was written")


def _final_read(history: History, appends: Iterable[Operation]) -> list[object] | None:
    last_append = max((one.begun for one in appends), default=float("-inf"))
    reads = [one for one in history.of(action="read", outcome=Outcome.OK) if one.begun > last_append]
    return list(reads[-1].value) if reads else None


def _no_evidence(acknowledged: list[Operation], fault: tuple[float, float] | None) -> str:
    if not acknowledged:
        return "no write was acknowledged"
    if fault is None:
        return ""
    began, _ = fault
    if not any(one.ended < began for one in acknowledged):
        return "no write was acknowledged before the fault"
    if not any(one.begun > began for one in acknowledged):
        return "no write was acknowledged after the fault"
    return ""
