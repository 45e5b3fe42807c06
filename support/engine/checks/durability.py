"""Acknowledged writes are kept, and each is there exactly once.

The histories hold two kinds of operations. "append" adds a value that no other append has to a ledger; "read" has the
list of everything found in the ledger as its value, and the last one is the final read.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from support.engine.finding import Finding, listed, listed_writes
from support.engine.history import History, Operation, Outcome
from support.expectations import AcceptedLoss
from support.vocabulary import counted

NOTHING = AcceptedLoss()


def no_acknowledged_write_lost(
    history: History,
    fault: tuple[float, float] | None = None,
    accepted: Callable[[Operation], AcceptedLoss | None] = lambda lost: NOTHING,
    size_of: Callable[[Operation], int] = lambda one: len(str(one.value)),
) -> Finding:
    """Every acknowledged append is in the final read, or the loss is no more than what is accepted.

    An append with an unknown outcome may be there ("recovered") or not. `accepted` gives for a lost append what the
    group that held it may lose; each group's lost appends are held against its own terms. Of them, those acknowledged
    less than `recent` seconds before the last one do not count: the new leader cannot know of them. `size_of` gives the
    bytes of an append, `fault` the start and the end of the fault in the history's clock.

    Unknown if the ledger was not read back after the last append began, if nothing was acknowledged, or if `accepted`
    is None for a lost append: then nobody knows which group held it. If `fault` is given, also unknown if nothing was
    acknowledged before it began or after it began, or if nothing of what was acknowledged before it is left.
    """
    appends = history.of(action="append")
    acknowledged = [one for one in appends if one.outcome is Outcome.OK]
    found = _final_read(history, appends)
    if found is None:
        return Finding.unknown("the ledger was never read back after the last append")
    gap = _no_evidence(acknowledged, fault)
    if gap:
        return Finding.unknown(gap)
    lost = _lost(history)
    unknown = [one for one in appends if one.outcome is Outcome.UNKNOWN]
    there = set(found)
    recovered = sum(one.value in there for one in unknown)
    of_all = f"of {len(acknowledged)} acknowledged writes"
    remark = f"{recovered} of {len(unknown)} unknown ones were there"
    if not lost:
        return Finding.true(f"0 {of_all} lost; {remark}")
    values = f"{len(lost)} {of_all} lost: {listed_writes([one.value for one in lost])}"
    by_terms: dict[AcceptedLoss | None, list[Operation]] = {}
    for one in lost:
        by_terms.setdefault(accepted(one), []).append(one)
    undecided = by_terms.pop(None, [])
    inexcusable = [one.value for terms, ones in by_terms.items() if not terms for one in ones]
    if len(inexcusable) == len(lost):
        return Finding.false(values)
    if inexcusable:
        return Finding.false(f"{values}; {len(inexcusable)} of them where none may be lost: {listed(inexcusable)}")
    if fault is not None and all(one in lost for one in acknowledged if one.ended < fault[0]):
        return Finding.unknown(f"nothing that was acknowledged before the fault is left: {values}")
    weighed = [_weighed(ones, terms, size_of) for terms, ones in by_terms.items() if terms]
    told = "; ".join((values, *(words for _, words in weighed)))
    if not all(within for within, _ in weighed):
        return Finding.false(told)
    if undecided:
        return Finding.unknown(
            f"{told}; which group held {len(undecided)} of them is not known, and some groups must not lose any"
        )
    return Finding.true(f"{told}; {remark}")


def _weighed(
    lost: Collection[Operation], accepted: AcceptedLoss, size_of: Callable[[Operation], int]
) -> tuple[bool, str]:
    """Whether one group lost no more appends than it may lose, and how the report puts it."""
    last = max(one.ended for one in lost)
    counting = [one for one in lost if one.ended < last - accepted.recent] if accepted.recent else lost
    size = sum(map(size_of, counting))
    earlier = f", {size:,} bytes of them more than {accepted.recent:g} s before the last one" if accepted.recent else ""
    return size <= accepted.bytes, f"{sum(map(size_of, lost)):,} bytes{earlier} ({accepted.why})"


def lost_writes(history: History) -> list[object]:
    """The values of acknowledged appends that are not in the final read; all of them if there was none."""
    return [one.value for one in _lost(history)]


def lost_since(history: History, begun: float, until: float) -> list[Operation]:
    """The lost appends that began between these moments, in the order in which they began."""
    return sorted((one for one in _lost(history) if begun < one.begun < until), key=lambda one: one.begun)


def without(history: History, operations: Iterable[Operation]) -> History:
    """The history without these operations."""
    left_out = {id(one) for one in operations}
    return History(one for one in history if id(one) not in left_out)


def acknowledged_in_vain(vain: Sequence[Operation], former: str, limit: float, since: float) -> Finding:
    """What a former leader acknowledged after another one had taken over, all of it lost, began no later than `limit`
    seconds after `since`, when it could begin to learn that it was replaced."""
    if not vain:
        return Finding.true(f"{former} acknowledged no write that is lost after another member had taken over")
    seconds = max(one.ended for one in vain) - vain[0].begun
    words = (
        f"after another member had taken over, {former} acknowledged {len(vain)} writes in {seconds:.1f} s, and they "
        f"are lost: {listed_writes([one.value for one in vain])}"
    )
    if (late := vain[-1].begun - since) > limit:
        return Finding.false(f"{words}; the last one {late:.1f} s after it could learn of that (limit: {limit:g} s)")
    return Finding.true(words)


def lost_reach_back(history: History, moment: float) -> float | None:
    """Seconds from the acknowledgement of the oldest lost append until `moment`; None if no append from before it is
    lost."""
    before = [moment - one.ended for one in _lost(history) if one.ended < moment]
    return max(before, default=None)


def kept(history: History) -> History:
    """All appends but the lost ones: what each member must hold, too."""
    lost = {id(one) for one in _lost(history)}
    return History(one for one in history.of(action="append") if id(one) not in lost)


def _lost(history: History) -> list[Operation]:
    there = set(_final_read(history, history.of(action="append")) or ())
    return [one for one in history.of(action="append", outcome=Outcome.OK) if one.value not in there]


def each_write_once(history: History) -> Finding:
    """Nothing is in the final read twice, and nothing that was refused or never written is there."""
    appends = history.of(action="append")
    found = _final_read(history, appends)
    if found is None:
        return Finding.unknown("the ledger was never read back after the last append")
    if not any(one.outcome is Outcome.OK for one in appends):
        return Finding.unknown("no write was acknowledged")
    twice: list[object] = [value for value, times in Counter(found).items() if times > 1]
    possible = {one.value for one in appends if one.outcome is not Outcome.FAIL}
    strange: list[object] = [value for value in found if value not in possible]
    if twice:
        writes = counted(len(twice), "write is", "writes are")
        return Finding.false(f"{writes} there more than once: {listed_writes(twice)}")
    if strange:
        entries = counted(len(strange), "entry is", "entries are")
        return Finding.false(f"{entries} there that no client wrote: {listed_writes(strange)}")
    return Finding.true(f"each of {len(found)} entries is there once, and was written")


def _final_read(history: History, appends: Iterable[Operation]) -> list[object] | None:
    last_append = max((one.begun for one in appends), default=float("-inf"))
    reads = [one for one in history.of(action="read", outcome=Outcome.OK) if one.begun > last_append]
    return list(reads[-1].value) if reads else None


def _no_evidence(acknowledged: list[Operation], fault: tuple[float, float] | None) -> str:
    if not acknowledged:
        return "no write was acknowledged"
    if fault is None:
        return ""
    began, _ = fault
    if not any(one.ended < began for one in acknowledged):
        return "no write was acknowledged before the fault"
    if not any(one.begun > began for one in acknowledged):
        return "no write was acknowledged after the fault"
    return ""
