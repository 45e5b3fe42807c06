"""Increments of a counter, and operations that their clients repeat: each is applied exactly once.

Each is judged by the number that it counted the counter up to, not by the counter's value alone: one increment that is
lost and another one that is applied twice add up to the right sum. Two kinds of operations are in the histories.
"increment" adds one to a counter, and its value is the number that it wrote. "count" does so, too, and is repeated
until it is acknowledged; its key names the operation that is repeated, and the database has the number.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from support.engine.finding import Finding, listed
from support.engine.history import History, Operation, Outcome
from support.vocabulary import counted


def counted_exactly(history: History, begun_at: int, ended_at: int) -> Finding:
    """Every number from `begun_at` + 1 to `ended_at` was written by one increment, and every acknowledged one is there.

    An increment whose outcome is unknown may have written its number or not. Unknown if none was acknowledged.
    """
    acknowledged = [one.value for one in history.of(action="increment", outcome=Outcome.OK)]
    possible = {one.value for one in history.of(action="increment", outcome=Outcome.UNKNOWN)}
    if not acknowledged:
        return Finding.unknown("no increment was acknowledged")
    words = f"the counter went from {begun_at} to {ended_at} over {len(acknowledged)} acknowledged increments"
    times = Counter(acknowledged)
    wrong = _told(
        {
            "written by several acknowledged increments": [one for one, count in times.items() if count > 1],
            "acknowledged but not part of the counter": [one for one in times if not begun_at < one <= ended_at],
            "written by no increment": [
                one for one in range(begun_at + 1, ended_at + 1) if one not in times and one not in possible
            ],
        },
        "number",
    )
    return Finding.false(f"{words}: {wrong}") if wrong else Finding.true(words)


@dataclass(frozen=True)
class Applied:
    """One time that an operation was applied, as the database has it."""

    operation: str
    number: int
    """What it counted the counter up to."""


@dataclass(frozen=True)
class _Attempts:
    """What clients know of one operation."""

    begun: float
    acknowledged: float | None
    """When it was acknowledged; None if it never was."""
    doubtful: bool
    """One of the attempts has an unknown outcome."""


def each_applied_once(history: History, applied: Sequence[Applied], counted: int) -> Finding:
    """Every acknowledged operation was applied once, no other one was, and they account for the whole counter.

    `applied` is what the database has of the operations, `counted` the counter. An operation that was never
    acknowledged may have been applied once if one of its attempts has an unknown outcome. One that was acknowledged
    before another one began has the smaller number. Unknown if nothing was acknowledged, or if no operation with a lost
    answer was repeated until it was acknowledged: then nothing was put to the test.
    """
    tried = _attempts(history)
    done = [name for name, one in tried.items() if one.acknowledged is not None]
    repeated = sum(tried[name].doubtful for name in done)
    in_doubt = sum(one.doubtful and one.acknowledged is None for one in tried.values())
    words = f"{len(done)} operations were acknowledged, {repeated} of them retried after a lost answer, "
    words += f"{in_doubt} are in doubt, and the counter stands at {counted}"
    if not done:
        return Finding.unknown("no operation was acknowledged")
    if wrong := "; ".join(filter(None, (_amiss(tried, applied), _unaccounted(applied, counted)))):
        return Finding.false(f"{wrong} ({words})")
    if overtaken := _overtaken(tried, applied):
        return Finding.false(f"{overtaken} ({words})")
    if not repeated:
        return Finding.unknown("no operation whose answer was lost was retried")
    return Finding.true(words)


def _attempts(history: History) -> dict[str, _Attempts]:
    """Operation -> what its client knows of it."""
    attempts: dict[str, list[Operation]] = defaultdict(list)
    for one in history.of(action="count"):
        attempts[one.key].append(one)
    return {
        key: _Attempts(
            min(one.begun for one in tries),
            min((one.ended for one in tries if one.outcome is Outcome.OK), default=None),
            any(one.outcome is Outcome.UNKNOWN for one in tries),
        )
        for key, tries in attempts.items()
    }


def _amiss(tried: Mapping[str, _Attempts], applied: Sequence[Applied]) -> str:
    """The operations that were not applied as often as they should have been."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for one in applied:
        numbers[one.operation].append(one.number)
    return _told(
        {
            "acknowledged but not applied": [
                name for name, one in tried.items() if one.acknowledged is not None and name not in numbers
            ],
            "applied more than once": [
                f"{name} (as {' and '.join(map(str, sorted(those)))})"
                for name, those in numbers.items()
                if len(those) > 1
            ],
            "applied although each attempt had failed": [
                name for name, one in tried.items() if one.acknowledged is None and not one.doubtful and name in numbers
            ],
            "applied but tried by no client": sorted(numbers.keys() - tried.keys()),
        },
        "operation",
    )


def _unaccounted(applied: Sequence[Applied], counted: int) -> str:
    """Where the counter and the numbers of the operations differ."""
    owners: dict[int, set[str]] = defaultdict(set)
    for one in applied:
        owners[one.number].add(one.operation)
    return _told(
        {
            "claimed by no operation: something else was counted": [
                number for number in range(1, counted + 1) if number not in owners
            ],
            "claimed by several operations: one increment overwrote another": [
                f"{number} ({', '.join(sorted(those))})" for number, those in owners.items() if len(those) > 1
            ],
            "not part of the counter: increments were lost": sorted(
                number for number in owners if not 0 < number <= counted
            ),
        },
        "number",
    )


def _overtaken(tried: Mapping[str, _Attempts], applied: Sequence[Applied]) -> str:
    """An operation with a greater number than one that began only after its acknowledgement; empty if there is none."""
    earliest: Applied | None = None
    acknowledged = float("inf")
    for one in sorted(applied, key=lambda one: one.number, reverse=True):
        attempts = tried[one.operation]
        if acknowledged < attempts.begun:
            assert earliest is not None
            return (
                f"operation {earliest.operation} counted up to {earliest.number} and was acknowledged before "
                f"{one.operation} began, which counted up to {one.number}: it did not see the earlier one"
            )
        if attempts.acknowledged is not None and attempts.acknowledged < acknowledged:
            earliest, acknowledged = one, attempts.acknowledged
    return ""


def _told(faults: Mapping[str, Sequence[object]], thing: str) -> str:
    return "; ".join(f"{counted(len(those), thing)} {how}: {listed(those)}" for how, those in faults.items() if those)
