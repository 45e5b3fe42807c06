"""Checks of numbers that the database gives: none is given twice."""

from collections import defaultdict

from support.engine.finding import Finding, listed
from support.engine.history import History, Operation, Outcome
from support.vocabulary import counted

SEQUENCE, IDENTITY = "draw from the sequence", "insert into the table with an identity column"
ACTIONS = (SEQUENCE, IDENTITY)


def none_issued_twice(history: History, fault: float) -> Finding:
    """No number was acknowledged to two operations of one kind. `fault` is when it happened, on the monotonic clock.

    What an operation without an answer was given, nobody knows, so it counts for nothing. Unknown unless numbers of
    each kind were given before the fault and after it.
    """
    wrong, few = [], []
    for action in ACTIONS:
        given = defaultdict[int, list[Operation]](list)
        for one in history.of(action=action, outcome=Outcome.OK):
            given[int(one.value)].append(one)
        twice = [(number, found) for number, found in sorted(given.items()) if len(found) > 1]
        if twice:
            shown = [f"{number} ({_when(found, fault)})" for number, found in twice]
            numbers = counted(len(twice), "number was", "numbers were")
            wrong.append(f"{numbers} issued twice by {action}: {listed(shown, 3)}")
        ended = [one.ended for found in given.values() for one in found]
        if not any(when < fault for when in ended) or not any(when > fault for when in ended):
            few.append(action)
    if wrong:
        return Finding.false("; ".join(wrong))
    if few:
        return Finding.unknown(f"no number was given before the fault, or none after it: {listed(few)}")
    return Finding.true(f"{len(history.of(outcome=Outcome.OK))} numbers were given, none of them twice")


def _when(found: list[Operation], fault: float) -> str:
    times = [f"{abs(one.ended - fault):.1f} s {'after' if one.ended > fault else 'before'} the fault" for one in found]
    return ", ".join(times)
