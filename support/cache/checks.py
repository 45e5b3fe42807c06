"""What a cache served, against what had been committed by then.

A history of these operations, of one writer at most for each key, whose values are all different:
"write" committed a value; "rollback" wrote one in a transaction and took it back; "hit" and "miss" are reads, which
served a value out of the cache or out of the database.

What a cache serves of a write that a failover has lost.

What an outage of the cache may cost its clients: time, and no more of that than is allowed.

The history is that of reads ("hit" or "miss") and writes; each client is one process of the application.

Whether a cached value lived as long as it was to, neither shorter nor longer.

A history of: one "miss", which filled the cache with a value; one "change" of it behind the cache's back; and "hit" or
"miss" reads after that, of which each serves the old value while the cache has it, and the new one from then on.

Whether a storm on the cache was one: only then is it worth anything that all was well after it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from support.engine.finding import Finding, listed
from support.engine.history import History, Operation, Outcome

READS = ("hit", "miss")


def served_within(bound: float, history: History) -> Finding:
    """No read served a value that had been replaced for more than `bound` seconds, or that nobody committed.

    A value is taken to be replaced when the next one was acknowledged. Unknown unless values were replaced, and
    something was read later than the bound after that.
    """
    reads, replaced = reads_of(history), _replaced(history)
    if refused := errors(reads):
        return refused
    replacements = [(key, when) for (key, _), when in replaced.items() if when < float("inf")]
    if not any(read.key == key and read.begun > when + bound for read in reads for key, when in replacements):
        words = f"nothing was read later than {bound:g} s after a value was replaced"
        return Finding.unknown(_because_of_writes(history, words))
    strange = [read for read in reads if (read.key, read.value) not in replaced]
    if (why := failed_writes(history)) and all(_nothing_was_written(history, read) for read in strange) and strange:
        return Finding.unknown(f"nothing was there to be read: {why}")
    if strange:
        return Finding.false(f"{len(strange)} of {len(reads)} reads served what nobody wrote: {strange[0].value!r}")
    late = [read for read in reads if read.begun - replaced[read.key, read.value] > bound]
    if late:
        worst = max(late, key=lambda read: read.begun - replaced[read.key, read.value])
        return Finding.false(
            f"{len(late)} of {len(reads)} reads served a value too late: {worst.value!r} ({worst.key}) had been "
            f"replaced for {worst.begun - replaced[worst.key, worst.value]:.3f} s (allowed: {bound:g} s)"
        )
    return Finding.true(f"of {len(reads)} reads none served a value that had been replaced for over {bound:g} s")


def oldest_served(history: History) -> float:
    """For how many seconds the oldest value that a read served had been replaced when the read began."""
    replaced, never = _replaced(history), float("inf")
    return max([0.0, *(read.begun - replaced.get((read.key, read.value), never) for read in reads_of(history))])


def nothing_rolled_back_served(history: History) -> Finding:
    """No read served a value that was only ever written in a transaction that was rolled back.

    Unknown unless something was read while such a transaction was open, and after its end.
    """
    reads, undone = reads_of(history), history.of(action="rollback")
    if refused := errors(reads):
        return refused
    if not any(one.begun < read.begun and read.ended < one.ended for one in undone for read in reads):
        return Finding.unknown("nothing was read while a transaction was open that was rolled back")
    if not any(read.begun > max(one.ended for one in undone) for read in reads):
        return Finding.unknown("nothing was read after the transactions were rolled back")
    values = {(one.key, one.value) for one in undone}
    served = [read for read in reads if (read.key, read.value) in values]
    if served:
        return Finding.false(
            f"{len(served)} of {len(reads)} reads served what was rolled back, the first: {served[0].value!r} as "
            f"{served[0].key}"
        )
    return Finding.true(f"none of {len(reads)} reads served any of {len(undone)} changes that were rolled back")


def reads_of(history: History) -> list[Operation]:
    """The reads, in the order in which they ended."""
    return [one for one in history if one.action in READS]


def actions(history: History) -> list[str]:
    """Which of the reads were hits and which misses, in the order in which they ended."""
    return [one.action for one in reads_of(history)]


def errors(reads: list[Operation]) -> Finding | None:
    """A finding against reads that ended in an error; None when none did."""
    failed = [read for read in reads if read.outcome is not Outcome.OK]
    if not failed:
        return None
    return Finding.false(f"{len(failed)} of {len(reads)} reads failed, the first: {failed[0].error}")


def failed_writes(history: History) -> str:
    """How many writes were not acknowledged, and what was said against the first; empty when all were."""
    writes = history.of(action="write")
    failed = [one for one in writes if one.outcome is not Outcome.OK]
    return f"{len(failed)} of {len(writes)} writes failed, the first: {failed[0].error}" if failed else ""


def _nothing_was_written(history: History, read: Operation) -> bool:
    """It served nothing, and no write of its key had been acknowledged when it ended."""
    done = (one for one in history.of(action="write") if one.key == read.key and one.outcome is Outcome.OK)
    return read.value is None and all(one.begun > read.ended for one in done)


def _because_of_writes(history: History, words: str) -> str:
    return f"{words}; {why}" if (why := failed_writes(history)) else words


def _replaced(history: History) -> dict[tuple[str, Any], float]:
    """(Key, value) of each write -> when the next write of that key was acknowledged; infinity where none was."""
    replaced: dict[tuple[str, Any], float] = {}
    next_acknowledged: dict[str, float] = {}
    for write in sorted(history.of(action="write"), key=lambda one: one.begun, reverse=True):
        replaced[write.key, write.value] = next_acknowledged.get(write.key, float("inf"))
        if write.outcome is Outcome.OK:
            next_acknowledged[write.key] = write.ended
    return replaced


def every_read_is_a_fresh_hit(history: History) -> Finding:
    """Every read came out of the cache, and served what had been acknowledged last. Unknown when none followed a write,
    and when a write failed.

    For histories in which nothing overlaps.
    """
    reads = reads_of(history)
    if refused := errors(reads):
        return refused
    if why := failed_writes(history):
        return Finding.unknown(why)
    written: dict[str, Any] = {}
    wrong = []
    for one in history:
        if one.action == "write":
            written[one.key] = one.value
        elif one.action == "miss" or one.value != written.get(one.key):
            wrong.append(f"a {one.action} served {one.value!r} after {written.get(one.key)!r} was written")
    if not reads or not written:
        return Finding.unknown("nothing was read after a write")
    if wrong:
        return Finding.false(f"{len(wrong)} of {len(reads)} reads were no hit with the new value: {wrong[0]}")
    return Finding.true(f"{len(reads)} reads, each a hit with the value just written")


def every_read_served(value: object, history: History) -> Finding:
    """Every read served just that. Unknown when there was none."""
    reads = reads_of(history)
    if refused := errors(reads):
        return refused
    other = [read for read in reads if read.value != value]
    if not reads:
        return Finding.unknown("nothing was read")
    if other:
        return Finding.false(f"{len(other)} of {len(reads)} reads served not {value!r}, but {other[0].value!r}")
    return Finding.true(f"{len(reads)} reads served {value!r}")


def forgotten_within(bound: float, history: History, lost: Any, kept: Any, since: float, clients: int) -> Finding:
    """No read that began more than `bound` seconds after `since` (another member led) served the lost value.

    Unknown unless the lost value was a hit at some time, and every client was served what was kept after `since`.
    Reads that ended in an error say nothing: while there is no leader, only what is cached can be had.
    """
    reads = [one for one in reads_of(history) if one.outcome is Outcome.OK]
    if strange := [one for one in reads if one.value not in (lost, kept)]:
        return Finding.false(f"{len(strange)} of {len(reads)} reads served what nobody wrote: {strange[0].value!r}")
    if not any(one.action == "hit" and one.value == lost for one in reads):
        return Finding.unknown("what was lost was never served out of the cache")
    served_for = last_served(history, lost, since)
    if served_for > bound:
        return Finding.false(
            f"what the failover lost was served for {served_for:.1f} s after another member led (allowed: {bound:g} s)"
        )
    back = {one.client for one in reads if one.value == kept and one.begun > since}
    if len(back) < clients:
        return Finding.unknown(f"{clients - len(back)} of {clients} clients read nothing after another member led")
    return Finding.true(f"what the failover lost was served for {served_for:.1f} s after another member led")


def last_served(history: History, lost: Any, since: float) -> float:
    """For how many seconds after `since` reads began that served the lost value; 0 where none did."""
    return max([0.0, *(one.begun - since for one in reads_of(history) if one.value == lost)])


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
    """Seconds from `since` (the healing) until the last of the clients had its first hit; None when one had none."""
    hits = [one for one in history.of(action="hit", outcome=Outcome.OK) if one.begun > since]
    first = {client: min((one.ended for one in hits if one.client == client), default=None) for client in clients}
    ends = [when for when in first.values() if when is not None]
    return max(ends) - since if len(ends) == len(clients) else None


def _took(operation: Operation) -> float:
    return operation.ended - operation.begun


def lived_for(seconds: float, slack: float, history: History) -> Finding:
    """The old value was served until `seconds` after the fill began, and no longer than until so long after it ended.

    `slack` (seconds) is let pass either way, for clocks that differ or count in whole milliseconds. Unknown unless
    something was read in the last fifth of that time, and something after it.
    """
    (change,) = history.of(action="change", outcome=Outcome.OK)
    reads = reads_of(history)
    if refused := errors(reads):
        return refused
    fill, reads = reads[0], [one for one in reads if one.begun > change.ended]
    least, most = fill.begun + seconds - slack, fill.ended + seconds + slack
    before = [one for one in reads if one.ended < least]
    after = [one for one in reads if one.begun > most]
    if not after or not any(one.begun > least - seconds / 5 for one in before):
        return Finding.unknown("nothing was read just before the end of the time to live, or nothing after it")
    return _judged(fill, before, after, seconds)


def every_key_ends(lives: Mapping[str, float], seconds: float) -> Finding:
    """Each key (name -> seconds that it lives on; infinity where it has no end) is gone after so long.

    Unknown when there is no key.
    """
    if not lives:
        return Finding.unknown("no key of the cache was found in Redis: it may not use the prefix that it was given")
    longer = {key: left for key, left in lives.items() if left > seconds}
    if longer:
        first, left = next(iter(longer.items()))
        lasts = "has no end" if left == float("inf") else f"lives for {left:g} s more"
        return Finding.false(f"{len(longer)} of {len(lives)} keys live for longer than {seconds:g} s: {first} {lasts}")
    return Finding.true(f"each of {len(lives)} keys ends within {seconds:g} s")


def _judged(fill: Operation, before: list[Operation], after: list[Operation], seconds: float) -> Finding:
    early = [one for one in before if one.value != fill.value]
    late = [one for one in after if one.value == fill.value]
    if early:
        return Finding.false(f"gone {early[0].ended - fill.begun:.3f} s after it was filled in, not {seconds:g} s")
    if late:
        return Finding.false(
            f"served {late[-1].begun - fill.ended:.3f} s after it was filled in, not for {seconds:g} s"
        )
    return Finding.true(f"served by {len(before)} reads within {seconds:g} s, and by none of {len(after)} after that")


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
