"""Who accepted writes, and when: split brain, a leader that stops in time, a former leader that acknowledges nothing.

A member is sampled all the time: each sample says whether it would have accepted a write (see support/engine/watch.py).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from support.engine.finding import Finding, listed
from support.engine.history import History, Outcome, WriterSample


def at_most_one_writer(samples: Iterable[WriterSample], members: Collection[str]) -> Finding:
    """No two of the members of one group accepted a write at the same time; samples of other members are ignored.

    A member counts as writable from the end of the first to the beginning of the last of its consecutive writable
    samples. Two such periods of different members that overlap are a split brain. Unknown if a member was never asked,
    or if none was ever seen to be writable.
    """
    seen = sorted((sample for sample in samples if sample.member in members), key=lambda sample: sample.begun)
    unasked = sorted(set(members) - {sample.member for sample in seen})
    if unasked:
        return Finding.unknown(f"never asked: {', '.join(unasked)}")
    periods = [period for member in sorted({one.member for one in seen}) for period in _writable(seen, member)]
    if not periods:
        return Finding.unknown(f"no member was writable in {len(seen)} samples")
    overlaps: list[object] = [
        f"{one.member} and {other.member} for {min(one.ended, other.ended) - max(one.begun, other.begun):.2f} s"
        for index, one in enumerate(periods)
        for other in periods[index + 1 :]
        if one.member != other.member and max(one.begun, other.begun) <= min(one.ended, other.ended)
    ]
    if overlaps:
        return Finding.false(f"two members accepted writes at once: {listed(overlaps)}")
    writers = list(dict.fromkeys(period.member for period in sorted(periods, key=lambda one: one.begun)))
    return Finding.true(f"never two writable members in {len(seen)} samples; writable in turn: {', '.join(writers)}")


@dataclass(frozen=True)
class _Period:
    member: str
    begun: float
    ended: float


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
    # A single writable sample was writable at some moment between its question and its answer.
    begun, ended = run[0].ended, run[-1].begun
    return _Period(run[0].member, begun, ended) if begun <= ended else _Period(run[0].member, ended, ended)


@dataclass(frozen=True)
class FrozenPeriod:
    """When a member was frozen, and the moment afterwards in which it learns what it missed; monotonic clock."""

    member: str
    begun: float
    ended: float


def without_frozen(samples: Iterable[WriterSample], frozen: Collection[FrozenPeriod]) -> list[WriterSample]:
    """The samples without those that ended while their member was frozen or had just thawed."""

    def left_out(sample: WriterSample) -> bool:
        return any(sample.member == one.member and one.begun < sample.ended < one.ended for one in frozen)

    return [sample for sample in samples if not left_out(sample)]


def last_accepted(samples: Iterable[WriterSample], member: str, since: float) -> float:
    """Seconds from `since` until the member was last seen to accept a write; 0 if it was not seen to afterwards."""
    return max((one.ended - since for one in samples if one.member == member and one.writable), default=0.0)


def stopped_in_time(samples: Iterable[WriterSample], member: str, since: float, limit: float) -> Finding:
    """The member accepted writes when the fault began (`since`), and none later than `limit` seconds after that.

    Unknown unless it was seen to accept writes before, and to refuse them afterwards: silence is no refusal.
    """
    own = [one for one in samples if one.member == member]
    last = last_accepted(own, member, since)
    if not any(one.writable and one.ended <= since for one in own):
        return Finding.unknown(f"{member} was not seen to accept writes before the fault")
    words = f"{member} was last seen to accept a write {last:.2f} s after the fault (limit: {limit:g} s)"
    if last >= limit:
        return Finding.false(words)
    if not any(one.writable is False and one.begun > since + last for one in own):
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
    taken: list[object] = [f"{one.value} after {one.ended - since:.2f} s" for one in late if one.outcome is Outcome.OK]
    if taken:
        return Finding.false(f"{len(taken)} of {len(late)} writes were acknowledged: {listed(taken)}")
    return Finding.true(f"none of {len(late)} writes was acknowledged")
