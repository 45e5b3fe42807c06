"""Who accepted writes, and when: split brain, a leader that stops in time, a former leader that acknowledges nothing.

A member is sampled all the time: each sample says whether it would have accepted a write (see support/engine/watch.py).
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from support.engine.finding import Finding, explained, listed
from support.engine.history import History, Outcome, WriterSample

THAW_GRACE = 5.0
"""Seconds that a thawed leader has to learn that it was replaced: until it asks the DCS, it cannot know.

Until then it accepts transactions. With synchronous replication it cannot acknowledge them, because no standby follows
it any more; clients connected directly to it prove that none was acknowledged and lost (support/engine/fencing.py).
With asynchronous replication it acknowledges writes that are then lost: the same clients count them, and they are
reported as a known limit. The grace period ends early if it refuses a write.
"""


@dataclass(frozen=True)
class SilentPeriod:
    """When a fault itself kept a member from taking writes, and from answering: it was off, or frozen."""

    member: str
    begun: float
    ended: float


@dataclass(frozen=True)
class Coverage:
    """The time in which every member must have been seen: from `begun` to `ended`, never unseen for `longest` s.

    `excused` are the times in which a fault makes a member silent; that member cannot lead then.
    """

    begun: float
    ended: float
    longest: float
    excused: Collection[SilentPeriod] = ()


def at_most_one_writer(
    samples: Iterable[WriterSample], members: Collection[str], coverage: Coverage | None = None
) -> Finding:
    """No two of the members of one group accepted a write at the same time; samples of other members are ignored.

    A member counts as writable from the end of the first to the beginning of the last of its consecutive writable
    samples. Two such periods of different members that overlap are a split brain. A single writable sample was true at
    some moment between its question and its answer, so all of that time must lie within the other's period. Unknown if
    a member was never asked, if none was ever seen to be writable, or if a member gave no answer for longer than
    `coverage` allows: it may have led meanwhile.
    """
    seen = sorted((sample for sample in samples if sample.member in members), key=lambda sample: sample.begun)
    unasked = sorted(set(members) - {sample.member for sample in seen})
    if unasked:
        return Finding.unknown(f"never asked: {', '.join(unasked)}")
    periods = [period for member in sorted({one.member for one in seen}) for period in _writable(seen, member)]
    if not periods:
        return Finding.unknown(f"no member was writable in {len(seen)} samples")
    overlaps: list[object] = [
        f"{one.member} and {other.member} for {shared:.2f} s"
        for index, one in enumerate(periods)
        for other in periods[index + 1 :]
        if one.member != other.member and (shared := one.shared_with(other)) is not None
    ]
    if overlaps:
        return Finding.false(f"two members accepted writes at once: {listed(overlaps)}")
    if coverage is not None and (unseen := _unseen(seen, members, coverage)):
        return Finding.unknown(f"{listed(unseen)}; a member that does not answer may also be leading")
    writers = list(dict.fromkeys(period.member for period in sorted(periods, key=lambda one: one.begun)))
    return Finding.true(f"never two writable members in {len(seen)} samples; writable in turn: {', '.join(writers)}")


def _unseen(samples: Collection[WriterSample], members: Collection[str], coverage: Coverage) -> list[object]:
    """Each time for which a member was silent for too long. A sample without an answer tells nothing, unless the member
    let nobody in and said so."""
    found: list[object] = []
    for member in sorted(members):
        known = [(one.begun, one.ended) for one in samples if one.member == member and _answered(one)]
        known += [(one.begun, one.ended) for one in coverage.excused if one.member == member]
        seen_until = coverage.begun
        for begun, ended in [*sorted(known), (coverage.ended, coverage.ended)]:
            if min(begun, coverage.ended) - seen_until > coverage.longest:
                since, lasted = seen_until - coverage.begun, min(begun, coverage.ended) - seen_until
                found.append(f"{member} gave no answer for {lasted:.1f} s, from {since:.1f} s after the fault on")
            seen_until = max(seen_until, ended)
    return found


def _answered(sample: WriterSample) -> bool:
    return sample.writable is not None or sample.closed


@dataclass(frozen=True)
class _Period:
    """When a member was writable. If it is known by a single sample, that was at some moment within these times."""

    member: str
    begun: float
    ended: float
    single: bool

    def shared_with(self, other: "_Period") -> float | None:
        """The seconds in which both were certainly writable at once; None if they need not have been."""
        if self.single and other.single:
            return None
        if self.single or other.single:
            one, whole = (self, other) if self.single else (other, self)
            return 0.0 if whole.begun <= one.begun and one.ended <= whole.ended else None
        shared = min(self.ended, other.ended) - max(self.begun, other.begun)
        return shared if shared >= 0 else None


def _writable(samples: list[WriterSample], member: str) -> list[_Period]:
    periods: list[_Period] = []
    run: list[WriterSample] = []
    for sample in [one for one in samples if one.member == member]:
        if sample.writable:
            run.append(sample)
        elif run:
            # A missing answer ends a period, too: what was not seen is not held against the member.
            periods.append(_period(run))
            run = []
    return [*periods, _period(run)] if run else periods


def _period(run: list[WriterSample]) -> _Period:
    if len(run) == 1:
        return _Period(run[0].member, run[0].begun, run[0].ended, single=True)
    return _Period(run[0].member, run[0].ended, run[-1].begun, single=False)


@dataclass(frozen=True)
class FrozenPeriod:
    """When a member was frozen, and the moment afterwards in which it learns what it missed; monotonic clock."""

    member: str
    begun: float
    ended: float


def without_frozen(samples: Iterable[WriterSample], frozen: Collection[FrozenPeriod]) -> list[WriterSample]:
    """The samples without those that a frozen leader cannot help: it accepts what it accepted before it froze.

    They ended while the member was frozen or had just thawed. A member that was no leader when it froze has no excuse,
    and one that has refused a write since it thawed has none any more: it has learned what it missed.
    """
    every = list(samples)
    excused = [_excused(every, one) for one in frozen]

    def left_out(sample: WriterSample) -> bool:
        return any(sample.member == one.member and one.begun < sample.ended < one.ended for one in excused)

    return [sample for sample in every if not left_out(sample)]


def _excused(samples: Collection[WriterSample], frozen: FrozenPeriod) -> FrozenPeriod:
    """The part of the period in which the member had an excuse."""
    own = [one for one in samples if one.member == frozen.member and one.writable is not None]
    before = [one for one in own if one.ended <= frozen.begun]
    led = not before or max(before, key=lambda one: one.ended).writable
    refused = [one.ended for one in own if one.begun > frozen.begun and one.refused]
    return replace(frozen, ended=min([frozen.ended, *refused]) if led else frozen.begun)


def taken_over(samples: Iterable[WriterSample], members: Collection[str], former: str, since: float) -> float | None:
    """When a member other than the former leader was first seen to accept a write since then; None if none was."""
    others = (one for one in samples if one.member in members and one.member != former and one.begun > since)
    return min((one.ended for one in others if one.writable), default=None)


def learned(samples: Iterable[WriterSample], member: str, since: float) -> float:
    """When the member first refused a write since then: it knows that it does not lead. Infinite if it never did."""
    refused = (one.ended for one in samples if one.member == member and one.begun > since and one.refused)
    return min(refused, default=math.inf)


def last_accepted(samples: Iterable[WriterSample], member: str, since: float) -> float:
    """Seconds from `since` until the member was last seen to accept a write; 0 if it has accepted none since then."""
    accepted = (one.ended for one in samples if one.member == member and one.writable)
    return max((ended - since for ended in accepted if ended > since), default=0.0)


def last_acknowledged(history: History, action: str, since: float) -> float:
    """Seconds from `since` until the last operation of that kind, begun after it, was acknowledged; 0 if none was."""
    acknowledged = history.of(action=action, outcome=Outcome.OK)
    return max((one.ended - since for one in acknowledged if one.begun > since), default=0.0)


def learned_in_time(samples: Iterable[WriterSample], member: str, since: float, limit: float) -> Finding:
    """A former leader that could not know until `since` that it was replaced took no write later than `limit` s after.

    Unknown unless it was seen to refuse writes afterwards: of a member that does not answer nobody knows what it takes.
    It may have been silent to the watch before that: what it took from clients, `acknowledged_no_write` judges.
    """
    own = [one for one in samples if one.member == member]
    last = last_accepted(own, member, since)
    words = f"the thawed member would have taken writes for {last:.1f} s (limit: {limit:g} s)"
    if last > limit:
        return Finding.too_late(words, (since, since + last), limit=limit)
    if not any(one.refused and one.begun > since + last for one in own):
        return Finding.unknown(f"{words}, but was not seen to refuse one since")
    return Finding.true(words)


@dataclass(frozen=True)
class LockLeft:
    """For how many seconds after a fault a leader's lock lasted: at least, and at most."""

    least: float
    most: float

    @property
    def words(self) -> str:
        """For a report."""
        return f"its lock lasted for {self.least:.1f} s" + (f" to {self.most:.1f} s" if self.most > self.least else "")


_WHOLE_SECONDS = 1.0
"""The DCS gives a lock's last renewal in whole seconds: it may have been this much later."""


def lock_left(
    ttl: float,
    renewed_every: float,
    *,
    begun: float,
    in_effect: float,
    renewed_before: float | None,
    renewed_after: float | None,
) -> LockLeft:
    """How long a leader's lock lasts after a fault, which takes effect a little later than it begins.

    `renewed_before` is the last renewal known before the fault. `renewed_after` is the last one known once the fault
    was in effect, and so the last one ever. Each is None if the DCS does not tell. (Monotonic clock.) If both are None,
    the lock was renewed at the earliest `renewed_every` before the fault, and at the latest when the fault took effect.
    """
    known = [one for one in (renewed_before, renewed_after) if one is not None]
    least = ttl - (begun - max(known) if known else renewed_every)
    most = ttl + in_effect - begun
    if renewed_after is not None:
        most = min(most, ttl - (begun - renewed_after) + _WHOLE_SECONDS)
    return LockLeft(least, max(least, most))


def stopped_in_time(samples: Iterable[WriterSample], member: str, since: float, lock: LockLeft) -> Finding:
    """The member accepted writes when the fault began (`since`), and none after its lock had expired.

    Unknown unless it was seen to accept writes before, and to refuse them afterwards: silence is not a refusal. Also
    unknown if it accepted one while it was uncertain whether the lock had expired.
    """
    own = [one for one in samples if one.member == member]
    last = last_accepted(own, member, since)
    if not any(one.writable and one.ended <= since for one in own):
        return Finding.unknown(f"{member} was not seen to accept writes before the fault")
    words = f"{member} was last seen to accept a write {last:.2f} s after the fault; {lock.words}"
    if last >= lock.most:
        return Finding.false(words)
    if last >= lock.least:
        return Finding.unknown(f"{words}; it is not known whether the lock had expired by then")
    if not any(one.refused and one.begun > since + last for one in own):
        return Finding.unknown(f"{words}, but was not seen to refuse one since")
    return Finding.true(words)


def acknowledged_no_write(history: History, action: str, since: float) -> Finding:
    """No operation of that kind that began after `since` was acknowledged; all were tried on one server.

    An operation that began earlier may have been done before, and its answer may have been late. Unknown if none was
    acknowledged before, or if none was tried afterwards.
    """
    tried = history.of(action=action)
    if not any(one.outcome is Outcome.OK and one.begun <= since for one in tried):
        return Finding.unknown("no write was acknowledged before")
    late = [one for one in tried if one.begun > since]
    if not late:
        return Finding.unknown("no write was tried afterwards")
    acknowledged = [one for one in late if one.outcome is Outcome.OK]
    taken: list[object] = [f"{one.value} after {one.ended - since:.2f} s" for one in acknowledged]
    if taken:
        words = f"{len(taken)} of {len(late)} writes were acknowledged that should have been refused: {listed(taken)}"
        return Finding.false(f"{words}{explained([one.value for one in acknowledged])}")
    return Finding.true(f"none of {len(late)} writes was acknowledged")
