"""A leader that can no longer renew its lock stops in time."""

from collections.abc import Iterable

from support.checkers.finding import Finding
from support.history import WriterSample


def last_accepted(samples: Iterable[WriterSample], member: str, since: float) -> float:
    """Seconds from `since` until the member was last seen to accept a write; 0 when it was not seen to afterwards."""
    return max((one.ended - since for one in samples if one.member == member and one.writable), default=0.0)


def stopped_in_time(samples: Iterable[WriterSample], member: str, since: float, limit: float) -> Finding:
    """The member accepted writes when the fault came (`since`), and none later than `limit` seconds after it.

    Unknown unless it was seen to accept writes before, and to refuse them afterwards: silence is no refusal.
    """
    looks = [one for one in samples if one.member == member]
    last = last_accepted(looks, member, since)
    if not any(one.writable and one.ended <= since for one in looks):
        return Finding.unknown(f"{member} was not seen to accept writes before the fault")
    words = f"{member} was last seen to accept a write {last:.2f} s after the fault (limit: {limit:g} s)"
    if last >= limit:
        return Finding.false(words)
    if not any(one.writable is False and one.begun > since + last for one in looks):
        return Finding.unknown(f"{words}, and not to refuse one since")
    return Finding.true(words)
