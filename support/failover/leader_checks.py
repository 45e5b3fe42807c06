"""Checks of leaders: who must not take over, is wrongly called the primary, refuses logins, or lets its lock expire."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from support.engine.checks.availability import longest_gap
from support.engine.finding import Finding
from support.engine.history import History, WriterSample

LAST_WORD = 5.0
"""Seconds for which a member may be silent at the end of what was sampled, and still count as seen."""
_PAUSE = 5.0
"""Seconds without an acknowledgement from which on clients do not go on working; a busy machine makes shorter ones."""


def nobody_took_over(samples: Iterable[WriterSample], members: Collection[str], since: float, until: float) -> Finding:
    """None of these members accepted a write after `since`.

    Unknown unless each of them refused one shortly before `until`: who gives no answer may lead as well.
    """
    own = [one for one in samples if one.member in members and one.begun > since and one.ended <= until]
    if took := [one for one in own if one.writable]:
        return Finding.false(
            f"{took[0].member} accepted writes {took[0].ended - since:.1f} s after the loss of the leader and of every "
            "standby that had all acknowledged writes: it may lack some of them, and they are lost then"
        )
    last = {one.member: one.ended for one in sorted(own, key=lambda one: one.ended) if one.refused}
    silent = [name for name in members if last.get(name, since) < until - LAST_WORD]
    if silent or not members:
        return Finding.unknown(f"{' and '.join(silent) or 'nobody'} was not seen to refuse a write until the end")
    return Finding.true(f"{' and '.join(members)} accepted no write for {until - since:.1f} s")


@dataclass(frozen=True)
class Claim:
    """What the health check of a member answered to the question whether it is the primary; None without an answer.

    Times are seconds on the monotonic clock.
    """

    member: str
    begun: float
    ended: float
    primary: bool | None


@dataclass(frozen=True)
class FalseClaim:
    """A member was reported as the primary for this many seconds, from `begun` on, while it accepted no writes."""

    member: str
    begun: float
    seconds: float


def false_claims(claims: Iterable[Claim], samples: Iterable[WriterSample]) -> list[FalseClaim]:
    """Each time for which a member was certainly called the primary, and certainly read-only.

    Certain is the time between two consecutive equal answers. A member that lets nobody in is not read-only.
    """
    said = [(one.member, one.begun, one.ended, one.primary is True) for one in claims]
    were = [(one.member, one.begun, one.ended, one.writable is False) for one in samples]
    return [
        FalseClaim(member, max(one[0], other[0]), min(one[1], other[1]) - max(one[0], other[0]))
        for member in {answer[0] for answer in said}
        for one in _periods(member, said)
        for other in _periods(member, were)
        if min(one[1], other[1]) > max(one[0], other[0])
    ]


def longest_false_claim(claims: Iterable[Claim], samples: Iterable[WriterSample]) -> FalseClaim | None:
    """The longest of these times; None if there was none."""
    return max(false_claims(claims, samples), key=lambda one: one.seconds, default=None)


def _periods(member: str, answers: Iterable[tuple[str, float, float, bool]]) -> list[tuple[float, float]]:
    """The times between the first and the last of consecutive answers that say yes."""
    found: list[tuple[float, float]] = []
    run: list[tuple[float, float]] = []
    own = sorted((begun, ended, yes) for name, begun, ended, yes in answers if name == member)
    for begun, ended, yes in [*own, (0.0, 0.0, False)]:
        if yes:
            run.append((begun, ended))
        else:
            if len(run) > 1:
                found.append((run[0][1], run[-1][0]))
            run = []
    return found


def called_primary_truly(
    claims: Sequence[Claim], samples: Sequence[WriterSample], members: Collection[str], since: float, limit: float
) -> Finding:
    """From `since` (the fault) on, no member was reported as the primary for more than `limit` s while it was
    read-only.

    Unknown unless two members were reported as the primary meanwhile: then no role has changed hands. Unknown, too, if
    one was reported as the primary for longer than that, and did not tell whether it takes writes.
    """
    later = [one for one in claims if one.begun > since]
    called = sorted({one.member for one in later if one.primary} | {_before(claims, since)} - {""})
    words = f"{len(later)} answers of {len(members)} members; reported as the primary: {', '.join(called) or 'nobody'}"
    false = false_claims(later, [one for one in samples if one.begun > since])
    longest = max(false, key=lambda one: one.seconds, default=None)
    if longest is not None and longest.seconds > limit:
        return Finding.too_late(
            f"{longest.member} was reported as the primary by its health check for {longest.seconds:.1f} s, from "
            f"{longest.begun - since:.1f} s after the fault on, while it was read-only (limit: {limit:g} s)",
            *((one.begun, one.begun + one.seconds) for one in false if one.seconds > limit),
            limit=limit,
        )
    if len(called) < 2:
        return Finding.unknown(f"no role changed hands: {words}")
    if silent := _silent(later, [one for one in samples if one.begun > since], limit):
        return Finding.unknown(f"{words}; it is not known whether {' and '.join(silent)} took writes meanwhile")
    told = f"{longest.seconds:.1f} s" if longest else "never"
    return Finding.true(f"{words}; the longest time while read-only: {told} (limit: {limit:g} s)")


def _silent(claims: Sequence[Claim], samples: Sequence[WriterSample], limit: float) -> list[str]:
    """The members that were called the primary for longer than `limit` s without a word whether they take writes.

    To let nobody in is an answer. After the last look at any member, none was asked any more.
    """
    said = [(one.member, one.begun, one.ended, one.primary is True) for one in claims]
    over = max((one.ended for one in samples), default=float("inf"))
    found = []
    for member in sorted({one.member for one in claims}):
        told = sorted(one.ended for one in samples if one.member == member and (one.writable or one.refused))
        for begun, until in _periods(member, said):
            ended = min(until, over)
            moments = [begun, *(at for at in told if begun < at < ended), ended]
            if any(later - earlier > limit for earlier, later in pairwise(moments)):
                found.append(member)
                break
    return found


def _before(claims: Iterable[Claim], since: float) -> str:
    """Who was last called the primary before that; empty if nobody was."""
    earlier = [one for one in claims if one.ended <= since and one.primary]
    return max(earlier, key=lambda one: one.ended).member if earlier else ""


@dataclass(frozen=True)
class NewSession:
    """An attempt to reach a leader by a new session; seconds on the monotonic clock."""

    begun: float
    ended: float
    refusal: str
    """Why it failed; empty if it reached a leader."""


def new_sessions_again(tried: Sequence[NewSession], since: float, limit: float, what: str = "the fault") -> Finding:
    """From `since` on, when `what` happened, one reached a leader within `limit` seconds.

    Unknown if none was tried for that long.
    """
    after = [one for one in tried if one.begun >= since]
    if reached := [one.ended for one in after if not one.refusal]:
        took = reached[0] - since
        words = f"a new session reached a leader {took:.1f} s after {what} (limit: {limit:g} s)"
        return Finding.within_limit(took <= limit, words, (since, reached[0]), limit=limit)
    if not after or after[-1].ended < since + limit:
        return Finding.unknown(f"no new session was tried until {limit:g} s after {what}")
    return Finding.too_late(
        f"no new session reached a leader for {after[-1].ended - since:.1f} s after {what} (limit: {limit:g} s); "
        f"the last of {len(after)} that were tried: {after[-1].refusal}",
        (since, after[-1].ended),
        limit=limit,
    )


@dataclass(frozen=True)
class KeyLook:
    """Who held the leader key when somebody asked; `leader` is empty if nobody did."""

    at: float
    """Monotonic clock."""
    leader: str


def kept_the_key(looks: Sequence[KeyLook], member: str, since: float, until: float, longest: float) -> Finding:
    """Whoever asked between `since` and `until` was told that this member holds the leader key.

    Unknown if nobody could be asked for longer than `longest` seconds: another one may have led meanwhile.
    """
    own = [one for one in looks if one.at >= since]
    if others := [one for one in own if one.leader != member]:
        who = others[0].leader or "nobody"
        return Finding.false(f"{others[0].at - since:.1f} s later {who} held the leader key, instead of {member}")
    moments = [since, *(one.at for one in own)]
    blind = max(later - before for before, later in pairwise([*moments, max(until, moments[-1])]))
    if not own or blind > longest:
        return Finding.unknown(f"for {blind:.1f} s it was not known who holds the leader key")
    return Finding.true(f"{member} held the leader key each of the {len(own)} times it was checked")


def open_sessions_went_on(history: History, action: str, since: float, until: float) -> Finding:
    """From `since` (the fault) until `until`, operations were acknowledged all the time."""
    gap = longest_gap(history, action, since, until)
    if gap is None or gap.seconds < _PAUSE:
        return Finding.true(f"operations were acknowledged on open sessions for {until - since:.1f} s")
    if gap.begun <= since and gap.ended >= until:
        return Finding.false("no write was acknowledged on open sessions")
    begun, ended = max(0.0, gap.begun - since), gap.ended - since
    return Finding.false(
        f"no write was acknowledged on open sessions from {begun:.1f} s until {ended:.1f} s after the fault"
    )


@dataclass(frozen=True)
class Renewal:
    """The position that a leader had published in the DCS, with its lock, when the DCS was read."""

    at: float
    """Monotonic clock."""
    position: int


def lock_renewed_in_time(renewals: Sequence[Renewal], limit: float) -> Finding:
    """While clients wrote, the leader never left its lock unrenewed for `limit` seconds.

    Only what is certain counts: from the first look that found a position to the last one that found the same. Unknown
    if the DCS was not read for as long as `limit`.
    """
    if len(renewals) < 2:
        return Finding.unknown(f"the DCS was read {len(renewals)} times")
    if (blind := max(later.at - before.at for before, later in pairwise(renewals))) >= limit:
        return Finding.unknown(f"the DCS was not read for {blind:.1f} s")
    since = renewals[0]
    until: dict[float, float] = {}
    """When a position was first found -> when it was found last."""
    for one in renewals:
        if one.position != since.position:
            since = one
        until[since.at] = one.at
    longest = max(ended - begun for begun, ended in until.items())
    words = f"the lock was not renewed for {longest:.1f} s (limit: {limit:g} s)"
    too_long = [(begun, ended) for begun, ended in until.items() if ended - begun >= limit]
    return Finding.within_limit(not too_long, words, *too_long, limit=limit)


def lock_ran_out(renewals: Sequence[Renewal], renewed: float, changed: float, left: float) -> Finding:
    """The leader left its lock unrenewed until it had expired, before the roles changed.

    `renewed` is a moment after which it was surely renewed, before the DCS was first read; `changed` is when the roles
    were seen to have changed, infinite if they never were; `left` are the seconds for which the lock lasts at least. A
    lock that was taken over earlier was given back, and not left to expire. All times are in the monotonic clock.
    Unknown if the DCS was read less than twice.
    """
    if len(renewals) < 2:
        return Finding.unknown(f"the DCS was read {len(renewals)} times")
    longest, since, end = 0.0, renewed, renewals[-1].at
    for before, one in pairwise(renewals):
        if one.position != before.position:
            longest = max(longest, min(one.at, changed) - since)
            since = before.at  # it may have been renewed right after that look
    longest = max(longest, (end if math.isinf(changed) else changed) - since)
    until = "" if math.isinf(changed) else " before the roles changed"
    return Finding(
        longest >= left, f"the lock went unrenewed for at most {longest:.1f} s{until}, and it lasts for {left:g} s"
    )
