"""What an outage of the cache may cost its clients: time, and no more of that than is allowed.

The history is that of reads ("hit" or "miss") and writes; each client is one process of the application.
"""

from collections.abc import Callable, Collection

from support.checkers.finding import Finding, listed
from support.checkers.staleness import served_within
from support.history import History, Operation, Outcome


def nothing_reached_callers(limit: float, history: History, clients: int, since: float, until: float) -> Finding:
    """No operation ended in an error, and none took `limit` seconds or more.

    Unknown unless every client began reads and writes in the outage, from `since` to `until`.
    """
    everything = list(history)
    if failed := [one for one in everything if one.outcome is not Outcome.OK]:
        return Finding.false(
            f"{len(failed)} of {len(everything)} operations ended in an error, the first ({failed[0].action}): "
            f"{failed[0].error}"
        )
    if late := [one for one in everything if _took(one) >= limit]:
        return Finding.false(
            f"{len(late)} of {len(everything)} operations took too long, up to {slowest(history):.2f} s "
            f"(allowed: {limit:g} s)"
        )
    tried = {(one.client, one.action == "write") for one in everything if since <= one.begun <= until}
    if len(tried) < 2 * clients:
        return Finding.unknown("not every client read and wrote during the outage")
    return Finding.true(f"{len(everything)} operations, the slowest took {slowest(history):.2f} s")


def slowest(history: History) -> float:
    """Seconds of the operation that took longest; 0 where there is none."""
    return max(map(_took, history), default=0.0)


def own_writes_seen(history: History, own_keys: Callable[[int], Collection[str]], clients: int) -> Finding:
    """No client read an older value than it had written itself, whatever became of the cache meanwhile."""
    found = {
        client: served_within(0, History(one for one in history if one.client == client and one.key in own))
        for client, own in ((number, own_keys(number)) for number in range(clients))
    }
    for holds in (False, None):
        if words := [f"client {client}: {one.words}" for client, one in found.items() if one.holds is holds]:
            return Finding(holds, listed(words))
    return Finding.true(f"each of {clients} clients read what it had written")


def cached_again(history: History, clients: Collection[int], since: float) -> float | None:
    """How many seconds after `since` (the cure) the last of the clients had its first hit; None when one had none."""
    hits = [one for one in history.of(action="hit", outcome=Outcome.OK) if one.begun > since]
    first = {client: min((one.ended for one in hits if one.client == client), default=None) for client in clients}
    ends = [when for when in first.values() if when is not None]
    return max(ends) - since if len(ends) == len(clients) else None


def _took(operation: Operation) -> float:
    return operation.ended - operation.begun
