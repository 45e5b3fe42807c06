"""While something lasts, no write is acknowledged."""

from support.checkers.finding import Finding, listed
from support.history import History, Outcome


def nothing_acknowledged(history: History, action: str, begun: float, ended: float) -> Finding:
    """No operation of that kind that began and ended between these two moments was acknowledged.

    Unknown when none was acknowledged before, or when none was tried meanwhile.
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
        return Finding.false(f"{len(taken)} of {len(meanwhile)} writes were acknowledged: {listed(taken)}")
    return Finding.true(f"none of {len(meanwhile)} writes was acknowledged in {ended - begun:.1f} s")
