"""Whether a storm on the cache was one: only then is it worth anything that all was well after it."""

from collections import Counter

from support.checkers.finding import Finding
from support.history import History, Outcome

KINDS = ("hit", "miss", "write", "rollback")


def storm_raged(history: History, least: int = 20) -> Finding:
    """No operation ended in an error, and there were enough of each kind, while others were at work.

    Unknown when there were fewer than `least` of a kind.
    """
    failed = [one for one in history if one.outcome is not Outcome.OK]
    if failed:
        first = failed[0]
        return Finding.false(
            f"{len(failed)} of {len(history)} operations ended in an error, the first ({first.action}): {first.error}"
        )
    counts = Counter(one.action for one in history)
    said = ", ".join(f"{counts[kind]} of kind {kind}" for kind in KINDS)
    if min(counts[kind] for kind in KINDS) < least:
        return Finding.unknown(f"the clients did too little at the same time: {said}")
    return Finding.true(said)
