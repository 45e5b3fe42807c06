"""A server that no longer leads takes no write."""

from support.checkers.finding import Finding, listed
from support.history import History, Outcome


def took_no_write(history: History, action: str, since: float) -> Finding:
    """Of the operations of that kind, all tried on one server, none that began after `since` was acknowledged.

    One that began before may have been done before, and its answer have been late. Unknown when none was acknowledged
    before, or when none began after it: nobody knocked then.
    """
    tried = history.of(action=action)
    if not any(one.outcome is Outcome.OK and one.begun <= since for one in tried):
        return Finding.unknown("no write was acknowledged before")
    late = [one for one in tried if one.begun > since]
    if not late:
        return Finding.unknown("no write was tried afterwards")
    taken: list[object] = [f"{one.value} after {one.ended - since:.2f} s" for one in late if one.outcome is Outcome.OK]
    if taken:
        return Finding.false(f"{len(taken)} of {len(late)} writes were acknowledged: {listed(taken)}")
    return Finding.true(f"none of {len(late)} writes was acknowledged")
