"""What a cache served, against what had been committed by then.

A history of these operations, of one writer at most for each key, whose values are all different:
"write" committed a value; "rollback" wrote one in a transaction and took it back; "hit" and "miss" are reads, which
served a value out of the cache or out of the database.
"""

from typing import Any

from support.checkers.finding import Finding
from support.history import History, Operation, Outcome

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
