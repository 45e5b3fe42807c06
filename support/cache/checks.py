"""What a cache may serve, and how long its clients may wait for it: checks over recorded operations.

A history of the cache holds these actions: "hit" and "miss" are reads, which the cache or the database answered;
"write" is a committed change (a deletion writes None); "rollback" is a write in a transaction that was rolled back;
"change" is an update that bypassed the cache. Where values are compared, each key has one writer at most, whose values
are all different. The client of an operation is one process of the application.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from support.engine.finding import Finding, listed
from support.engine.history import History, Operation, Outcome

READS = ("hit", "miss")


def reads_of(history: History) -> list[Operation]:
    """The reads, in the order in which they ended."""
    return [one for one in history if one.action in READS]


def _failed_reads(reads: list[Operation]) -> Finding | None:
    """A finding against reads that ended in an error; None when none did."""
    failed = [read for read in reads if read.outcome is not Outcome.OK]
    if not failed:
        return None
    return Finding.false(f"{len(failed)} of {len(reads)} reads failed, the first: {failed[0].error}")


def _failed_writes(history: History) -> str:
    """How many writes were not acknowledged, and the error of the first; empty when all were acknowledged."""
    writes = history.of(action="write")
    failed = [one for one in writes if one.outcome is not Outcome.OK]
    return f"{len(failed)} of {len(writes)} writes failed, the first: {failed[0].error}" if failed else ""


# Staleness


def served_within(bound: float, history: History) -> Finding:
    """No read served a value that had been replaced more than `bound` seconds before, or that nobody committed.

    A value counts as replaced once the next write of its key was acknowledged. Unknown unless some value was replaced
    and its key was read later than the bound after that.
    """
    reads, replaced = reads_of(history), _replaced(history)
    if failed := _failed_reads(reads):
        return failed
    replacements = [(key, when) for (key, _), when in replaced.items() if when < float("inf")]
    if not any(read.key == key and read.begun > when + bound for read in reads for key, when in replacements):
        words = f"nothing was read later than {bound:g} s after a value was replaced"
        return Finding.unknown(f"{words}; {why}" if (why := _failed_writes(history)) else words)
    unwritten = [read for read in reads if (read.key, read.value) not in replaced]
    if (why := _failed_writes(history)) and unwritten and all(_nothing_to_read(history, read) for read in unwritten):
        return Finding.unknown(f"there was nothing to read: {why}")
    if unwritten:
        return Finding.false(
            f"{len(unwritten)} of {len(reads)} reads served a value that nobody wrote: {unwritten[0].value!r}"
        )
    stale = [read for read in reads if read.begun - replaced[read.key, read.value] > bound]
    if stale:
        worst = max(stale, key=lambda read: read.begun - replaced[read.key, read.value])
        return Finding.false(
            f"{len(stale)} of {len(reads)} reads served a stale value: {worst.value!r} ({worst.key}) had been "
            f"replaced for {worst.begun - replaced[worst.key, worst.value]:.3f} s (limit: {bound:g} s)"
        )
    return Finding.true(f"none of {len(reads)} reads served a value that had been replaced for over {bound:g} s")


def oldest_served(history: History) -> float:
    """The longest time in seconds, over all reads, for which the value had been replaced when the read began."""
    replaced, never = _replaced(history), float("inf")
    return max([0.0, *(read.begun - replaced.get((read.key, read.value), never) for read in reads_of(history))])


def _replaced(history: History) -> dict[tuple[str, Any], float]:
    """(Key, value) of each write -> when the next write of that key was acknowledged; infinity where none was."""
    replaced: dict[tuple[str, Any], float] = {}
    next_acknowledged: dict[str, float] = {}
    for write in sorted(history.of(action="write"), key=lambda one: one.begun, reverse=True):
        replaced[write.key, write.value] = next_acknowledged.get(write.key, float("inf"))
        if write.outcome is Outcome.OK:
            next_acknowledged[write.key] = write.ended
    return replaced


def _nothing_to_read(history: History, read: Operation) -> bool:
    """The read found nothing, and no write of its key had been acknowledged when it ended."""
    done = (one for one in history.of(action="write") if one.key == read.key and one.outcome is Outcome.OK)
    return read.value is None and all(one.begun > read.ended for one in done)


def nothing_rolled_back_served(history: History) -> Finding:
    """No read served a value that was written only in a transaction that was rolled back.

    Unknown unless something was read while such a transaction was open, and after it ended.
    """
    reads, undone = reads_of(history), history.of(action="rollback")
    if failed := _failed_reads(reads):
        return failed
    if not any(one.begun < read.begun and read.ended < one.ended for one in undone for read in reads):
        return Finding.unknown("nothing was read while a transaction that was rolled back was open")
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


# Reads that follow one another


def every_read_is_a_fresh_hit(history: History) -> Finding:
    """Every read was a hit and served the value that was acknowledged last.

    For histories in which nothing overlaps. Unknown when no read followed a write, and when a write failed.
    """
    reads = reads_of(history)
    if failed := _failed_reads(reads):
        return failed
    if why := _failed_writes(history):
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
        return Finding.false(f"{len(wrong)} of {len(reads)} reads were not a hit with the new value: {wrong[0]}")
    return Finding.true(f"{len(reads)} reads, each a hit with the value just written")


def every_read_served(value: object, history: History) -> Finding:
    """Every read served exactly this value. Unknown when nothing was read."""
    reads = reads_of(history)
    if failed := _failed_reads(reads):
        return failed
    other = [read for read in reads if read.value != value]
    if not reads:
        return Finding.unknown("nothing was read")
    if other:
        return Finding.false(f"{len(other)} of {len(reads)} reads served {other[0].value!r} instead of {value!r}")
    return Finding.true(f"{len(reads)} reads served {value!r}")


# Expiry


def lived_for(seconds: float, slack: float, history: History) -> Finding:
    """A cached value was served until its time to live (`seconds`) ended, and not after that.

    The history holds a miss, which cached the value; one "change", which bypassed the cache; and reads after that.
    The time to live counts from the miss: at the earliest from its beginning, at the latest from its end. `slack`
    (seconds) is allowed either way, for clocks that differ or count in whole milliseconds. Unknown unless the change
    succeeded, something was read in the last fifth of the time to live, and something after it.
    """
    reads, changes = reads_of(history), history.of(action="change", outcome=Outcome.OK)
    if failed := _failed_reads(reads):
        return failed
    if not changes:
        errors = [one.error for one in history.of(action="change")]
        return Finding.unknown(f"the value was not changed in the database: {listed(errors)}")
    (change,) = changes
    fill, reads = reads[0], [one for one in reads if one.begun > change.ended]
    earliest, latest = fill.begun + seconds - slack, fill.ended + seconds + slack
    before = [one for one in reads if one.ended < earliest]
    after = [one for one in reads if one.begun > latest]
    if not after or not any(one.begun > earliest - seconds / 5 for one in before):
        return Finding.unknown("nothing was read just before the time to live ended, or nothing after it")
    if early := [one for one in before if one.value != fill.value]:
        return Finding.false(
            f"expired {early[0].ended - fill.begun:.3f} s after it was cached, not after {seconds:g} s"
        )
    if late := [one for one in after if one.value == fill.value]:
        return Finding.false(
            f"still served {late[-1].begun - fill.ended:.3f} s after it was cached (time to live: {seconds:g} s)"
        )
    return Finding.true(f"served by {len(before)} reads within {seconds:g} s, and by none of {len(after)} after that")


def every_key_expires(lifetimes: Mapping[str, float], seconds: float, searched: float = 0.0) -> Finding:
    """Every key expires within `seconds`. `lifetimes` is name -> seconds until it expires, infinity if it never does.

    Unknown when there is no key, or when the search for them took longer than that: `searched` seconds.
    """
    longer = {key: left for key, left in lifetimes.items() if left > seconds}
    if longer:
        first, left = next(iter(longer.items()))
        lasts = "never expires" if left == float("inf") else f"expires in {left:g} s"
        return Finding.false(
            f"{len(longer)} of {len(lifetimes)} keys live for longer than {seconds:g} s: {first} {lasts}"
        )
    if searched > seconds:
        return Finding.unknown(
            f"the search among all keys of Redis took {searched:.0f} s: keys that live {seconds:g} s were gone by then"
        )
    if not lifetimes:
        return Finding.unknown(
            "no key of the cache was found in Redis: perhaps it does not use the prefix that it was given"
        )
    return Finding.true(f"each of {len(lifetimes)} keys expires within {seconds:g} s")


# Load

STORM_ACTIONS = ("hit", "miss", "write", "rollback")
_HEAVY = 20  # operations of each kind


def storm_was_heavy(history: History) -> Finding:
    """No operation ended in an error, and each kind of operation occurred at least 20 times.

    Unknown if one of them occurred less often: such a light load says little about the cache.
    """
    failed = [one for one in history if one.outcome is not Outcome.OK]
    if failed:
        first = failed[0]
        return Finding.false(
            f"{len(failed)} of {len(history)} operations ended in an error, the first ({first.action}): {first.error}"
        )
    counts = Counter(one.action for one in history)
    words = ", ".join(f"{action}: {counts[action]}" for action in STORM_ACTIONS)
    if min(counts[action] for action in STORM_ACTIONS) < _HEAVY:
        return Finding.unknown(f"fewer than {_HEAVY} operations of a kind: {words}")
    return Finding.true(words)


# Outages of Redis


def no_caller_noticed(
    limit: float, history: History, clients: int, since: float, until: float, *, silent_until: float = 0.0
) -> Finding:
    """No operation ended in an error, and none took `limit` seconds or longer.

    Unknown unless every client began reads and writes during the outage, from `since` to `until`; and if something was
    shared before `silent_until`, until when Redis could answer nobody: then the outage did not reach the cache.
    """
    everything = list(history)
    if failed := [one for one in everything if one.outcome is not Outcome.OK]:
        return Finding.false(
            f"{len(failed)} of {len(everything)} operations ended in an error, the first ({failed[0].action}): "
            f"{failed[0].error}"
        )
    if late := [one for one in everything if _took(one) >= limit]:
        return Finding.too_late(
            f"{len(late)} of {len(everything)} operations took too long, up to {slowest(history):.2f} s "
            f"(limit: {limit:g} s)"
        )
    tried = {(one.client, one.action == "write") for one in everything if since <= one.begun <= until}
    if len(tried) < 2 * clients:
        return Finding.unknown("not every client read and wrote during the outage")
    if hits := _shared(history, since, silent_until):
        return Finding.unknown(
            f"{len(hits)} reads were hits with what another client had just written, although Redis was silent: the "
            "outage missed the cache"
        )
    return Finding.true(f"{len(everything)} operations, the slowest took {slowest(history):.2f} s")


def _shared(history: History, since: float, until: float) -> list[Operation]:
    """The hits with a value that was written in that time by another client, before the own client loaded it.

    Any other value may have been kept by the client itself: it may serve what it has written or read, until Redis tells
    it of a change.
    """
    writers = {(one.key, one.value): one.client for one in history.of(action="write") if one.begun >= since}
    loaded: dict[tuple[int, str, Any], float] = {}
    for one in history.of(action="miss"):
        loaded.setdefault((one.client, one.key, one.value), one.begun)
    return [
        one
        for one in history.of(action="hit")
        if one.ended < until
        and writers.get((one.key, one.value), one.client) != one.client
        and one.ended < loaded.get((one.client, one.key, one.value), float("inf"))
    ]


def slowest(history: History) -> float:
    """Seconds that the slowest operation took; 0 where there is none."""
    return max(map(_took, history), default=0.0)


def _took(operation: Operation) -> float:
    return operation.ended - operation.begun


def own_writes_seen(history: History, own_keys: Callable[[int], Collection[str]], clients: int) -> Finding:
    """No client read a value older than its own last write, whatever happened to the cache meanwhile.

    `own_keys` gives the keys that only this client writes.
    """
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


def caching_resumed(limit: float, history: History, clients: Collection[int], since: float) -> Finding:
    """Every client had a hit within `limit` seconds from `since` (the healing)."""
    took = cached_again(history, clients, since)
    if took is None:
        waited = max(one.ended for one in history) - since
        return Finding.too_late(
            f"not every client had a hit in the {waited:.1f} s after the outage (limit: {limit:g} s)"
        )
    return Finding.within_limit(
        took < limit, f"every client had a hit {took:.1f} s after the outage (limit: {limit:g} s)"
    )


# Failovers of the database


@dataclass(frozen=True)
class Handoff:
    """A failover that lost a write; seconds on the history's clock."""

    old_leader_until: float
    """When the old leader, the only one that had the write, was last seen to accept writes: until then it led."""
    new_leader_since: float
    """When another member was seen to lead."""


def lost_write_forgotten(
    bound: float, history: History, lost: Any, kept: Any, failover: Handoff, clients: int
) -> Finding:
    """No read that began more than `bound` seconds after the old leader led served anything but the kept value.

    The database served the lost value to no read that began once another member led. Unknown unless the lost value was
    once a hit, and every client was served the kept value by such a read. Reads that ended in an error are ignored:
    while there is no leader, only cached values can be read.
    """
    reads = [one for one in reads_of(history) if one.outcome is Outcome.OK]
    if unwritten := [one for one in reads if one.value not in (lost, kept)]:
        return Finding.false(
            f"{len(unwritten)} of {len(reads)} reads served a value that nobody wrote: {unwritten[0].value!r}"
        )
    loaded = [one for one in reads if one.action == "miss" and one.value == lost]
    if late := [one for one in loaded if one.begun > failover.new_leader_since]:
        after = late[0].begun - failover.new_leader_since
        return Finding.false(f"the lost write was loaded from the database {after:.1f} s after the change of leader")
    if not any(one.action == "hit" and one.value == lost for one in reads):
        return Finding.unknown("the lost write was never served from the cache")
    served = last_served(history, lost, failover.old_leader_until)
    words = f"the lost write was served for {served:.1f} s after the old leader stopped"
    if served > bound:
        return Finding.false(f"{words} (limit: {bound:g} s)")
    back = {one.client for one in reads if one.value == kept and one.begun > failover.new_leader_since}
    if len(back) < clients:
        return Finding.unknown(f"{clients - len(back)} of {clients} clients read nothing after the change of leader")
    return Finding.true(words)


def last_served(history: History, lost: Any, since: float) -> float:
    """Seconds from `since` until the last read that served the lost value began; 0 where there is none."""
    return max([0.0, *(one.begun - since for one in reads_of(history) if one.value == lost)])


# A cache that was emptied under load

REFILL_READS = 200
"""So many reads, one after another, tell how many are hits."""
REFILLED = 0.9
"""The share of them that must be hits."""


def hits_again_after(history: History, emptied: float) -> float | None:
    """The seconds from the emptying until nine in ten reads are hits; None if that was not reached.

    Only reads that began after the emptying count, in the order in which they ended.
    """
    reads = [one for one in reads_of(history) if one.begun > emptied]
    hits = [one.action == "hit" and one.outcome is Outcome.OK for one in reads]
    inside = sum(hits[:REFILL_READS])
    if not any(not hit for hit in hits):
        return None  # nobody has missed anything yet
    for last in range(REFILL_READS, len(hits) + 1):
        if inside >= REFILLED * REFILL_READS:
            return reads[last - 1].ended - emptied
        if last < len(hits):
            inside += hits[last] - hits[last - REFILL_READS]
    return None


def refilled(history: History, emptied: float, limit: float) -> Finding:
    """Within `limit` seconds of the emptying nine in ten reads were hits again, and no read failed.

    Unknown if no read missed after the emptying.
    """
    after = [one for one in reads_of(history) if one.begun > emptied]
    if failed := _failed_reads(after):
        return failed
    if not any(one.action == "miss" for one in after):
        return Finding.unknown(f"no read of {len(after)} was a miss after the cache was emptied")
    took = hits_again_after(history, emptied)
    if took is None:
        hits = sum(one.action == "hit" for one in after[-REFILL_READS:])
        return Finding.too_late(f"of the last {REFILL_READS} reads only {hits} were hits (limit: {limit:g} s)")
    words = f"nine in ten reads were hits again after {took:.1f} s (limit: {limit:g} s)"
    return Finding.within_limit(took <= limit, words)


def each_loaded_at_most(times: float, loads: Mapping[bytes, int], keys: int) -> Finding:
    """No entry was loaded from the database more often than `times`. `loads` is load -> how often, of `keys` entries.

    Unknown unless many of the entries were loaded: then the cache was not empty.
    """
    total, most = sum(loads.values()), max(loads.values(), default=0)
    words = f"{total} loads of {len(loads)} entries, {most} at most of one (limit: {times:g})"
    if most > times:
        return Finding.false(words)
    if len(loads) < keys / 10:
        return Finding.unknown(
            f"{words}: less than a tenth of the {keys} entries were loaded, so the cache was not empty"
        )
    return Finding.true(words)
