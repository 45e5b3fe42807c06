"""What breaking the cluster cost its clients, and how fast it is, in plain words and against limits."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from support.reporting.past import Figure
from support.reporting.scenario import Incident, Measure
from support.vocabulary import counted

TILES = 5
"""Key figures of speed that the dashboard shows."""
KEY_FIGURES: Sequence[tuple[str, str, str, str]] = (
    ("PF-01", "reads, 95 in 100", "simple queries", "95 of 100 simple queries are answered within"),
    ("PF-02", "searches, 95 in 100", "vector searches", "95 of 100 vector searches are answered within"),
    ("PF-05", "cached reads, 95 in 100", "cached reads", "95 of 100 cached reads are answered within"),
    ("PF-07", "replication lag", "replication lag", "A replica shows a write within"),
    ("PF-06", "operations", "throughput of the cache", "Cache operations a second, one client"),
    ("PF-03", "joins, 95 in 100", "joins", "95 of 100 joins within one namespace are answered within"),
    ("PF-04", "queries, 95 in 100", "queries over all shards", "95 of 100 queries over all shards are answered within"),
)
"""Promise, beginning of the measure's name, what it is about, and its name in plain words; the most telling first."""
_HOST_OF_LEADER = "the host of the leader crashes"
"""What is meant by the question how long writes stop when a machine dies."""
_LEADER_LOST = re.compile(r"the leader (crash|freez|is killed)|host of the leader")
_PROMISES = {promise for promise, *_ in KEY_FIGURES}


@dataclass(frozen=True)
class Cost:
    """All faults of one kind: the worst of each time, and the sums of what was lost.

    Not every scenario measures everything: `measured` says in how many of the `times` clients were writing, `checked`
    in how many a ledger was read back.
    """

    kind: str
    times: int
    measured: int
    checked: int
    longest: Incident | None
    """The incident with the longest time without writes; None if none was measured."""
    limited: Incident | None
    """The incident that exceeded its limit by most, else the one that came nearest to it; None if none has a limit."""
    new_leader_after: float | None
    redundant_after: float | None
    redundant_after_repair: float | None
    acknowledged: int | None
    lost: int | None
    unanswered: int | None
    refused: int | None
    lost_reach_back: float | None

    @property
    def without_writes(self) -> float | None:
        return self.longest.without_writes if self.longest else None

    @property
    def exceeded(self) -> bool:
        return self.limited is not None and self.limited.exceeded

    @property
    def bound(self) -> float | None:
        """The limit to draw beside the time: one that was exceeded, its own, or another's that even it is within."""
        limit = self.limited.limit if self.limited else None
        if self.exceeded or self.longest is self.limited or (self.without_writes or 0) < (limit or 0):
            return limit
        return self.longest.limit if self.longest else None

    @property
    def time(self) -> str:
        """The longest time without writes."""
        return stopped_for(self.longest) if self.longest else "not measured"

    @property
    def at_least(self) -> bool:
        """Whether one of the times that are told is a minimum."""
        return any(one is not None and _is_minimum(one) for one in (self.longest, self.limited))

    @property
    def allowance(self) -> str:
        """What is allowed, behind the longest time without writes."""
        own = self.longest.limit if self.longest else None
        told = f"of {own:g} s allowed" if own is not None else "without a limit"
        if self.limited is None:
            return f"{told} in {'its scenario' if self.measured == 1 else 'these scenarios'}"
        if self.longest is self.limited or (own is not None and not self.exceeded):
            return told
        return f"{told}; {stopped_for(self.limited)} of {self.limited.limit:g} s allowed in another scenario"


@dataclass(frozen=True)
class KeyFigure:
    """A figure of speed."""

    words: str
    figure: Figure

    @property
    def measure(self) -> Measure:
        return self.figure.measure

    @property
    def value(self) -> str:
        return humane(self.measure.value, self.measure.unit)

    @property
    def bound(self) -> str:
        measure = self.measure
        if measure.limit is None:
            return "no limit"
        return f"{'at least' if measure.at_least else 'at most'} {humane(measure.limit, measure.unit)}"


def stopped_for(one: Incident) -> str:
    """The time without writes."""
    return f"{'at least ' if _is_minimum(one) else ''}{one.without_writes or 0:.1f} s"


def _is_minimum(one: Incident) -> bool:
    """Whether writes came back only once the faults were being healed. A limit that is kept allows for that."""
    return one.until_healed and (one.limit is None or one.exceeded)


def humane(value: float, unit: str) -> str:
    """A figure as people say it: three digits, and milliseconds below a second."""
    if unit in ("s", "ms"):
        seconds = value / 1000 if unit == "ms" else value
        value, unit = (seconds, "s") if seconds >= 1 or not value else (1000 * seconds, "ms")
    elif unit == "/s":
        return f"{value:,.0f}/s"
    return f"{value:,.0f} {unit}".strip() if abs(value) >= 100 else f"{value:.3g} {unit}".strip()


def costs(incidents: Iterable[Incident]) -> list[Cost]:
    """By kind of fault: where writes were lost or a limit was exceeded, then the crash of the leader's host, then the
    longest time without writes."""
    by_kind: dict[str, list[Incident]] = defaultdict(list)
    for one in incidents:
        by_kind[one.kind].append(one)
    found = [_cost(kind, those) for kind, those in by_kind.items()]
    return sorted(
        found,
        key=lambda one: (
            -(one.lost or 0),
            not one.exceeded,
            one.kind != _HOST_OF_LEADER,
            -(one.without_writes or 0),
            one.kind,
        ),
    )


def most_shown(found: Sequence[Cost], usual: int) -> int:
    """How many of them are shown at once: the usual number, or more if more lost writes or exceeded a limit."""
    return max(usual, sum(bool(one.lost) or one.exceeded for one in found))


def told(found: Sequence[Cost], incidents: Sequence[Incident]) -> list[str]:
    """What was lost, in sentences."""
    return [one for one in (*_downtimes(incidents), _losses(found), _unanswered(incidents)) if one]


def key_figures(figures: Iterable[Figure]) -> list[KeyFigure]:
    """The figures of speed that tell most; of several of one kind the one that is nearest to its limit."""
    figures = list(figures)
    found = []
    for promise, name, _, words in KEY_FIGURES:
        those = [one for one in figures if one.promise == promise and one.measure.name.startswith(name)]
        if those:
            found.append(KeyFigure(words, max(those, key=lambda one: one.measure.used_up)))
    others = [one for one in figures if one.measure.unit in ("ms", "/s") and one.measure.limit is not None]
    known = {one.figure.key for one in found} | {one.key for one in figures if one.promise in _PROMISES}
    for one in sorted(others, key=lambda one: one.measure.used_up, reverse=True):
        if one.key not in known:
            found.append(KeyFigure(f"{one.scenario}: {one.measure.name}", one))
    return found[:TILES]


def not_measured(shown: Sequence[KeyFigure]) -> list[str]:
    """What the missing key figures would be about."""
    measured = {one.figure.promise for one in shown}
    return [about for id, _, about, _ in KEY_FIGURES if id not in measured][: TILES - len(shown)]


def worst_unplanned(incidents: Iterable[Incident]) -> Incident | None:
    """The incident with the longest time without writes of all that were no orderly switchover."""
    found = [one for one in incidents if one.without_writes is not None and not one.planned]
    return max(found, key=lambda one: one.without_writes or 0, default=None)


def _cost(kind: str, those: Sequence[Incident]) -> Cost:
    measured = [one for one in those if one.without_writes is not None]
    return Cost(
        kind=kind,
        times=len(those),
        measured=len(measured),
        checked=sum(one.lost is not None for one in those),
        longest=max(measured, key=lambda one: one.without_writes or 0, default=None),
        limited=max((one for one in measured if one.limit), key=_used_up, default=None),
        new_leader_after=_most(one.new_leader_after for one in those),
        redundant_after=_most(one.redundant_after for one in those),
        redundant_after_repair=_most(one.redundant_after_repair for one in those),
        acknowledged=_sum(one.acknowledged for one in those),
        lost=_sum(one.lost for one in those),
        unanswered=_sum(one.unanswered for one in those),
        refused=_sum(one.refused for one in those),
        lost_reach_back=_most(one.lost_reach_back for one in those),
    )


def _used_up(one: Incident) -> float:
    """The share of its own limit that the time without writes is; from 1 on it is exceeded."""
    return (one.without_writes or 0) / (one.limit or 1)


def _downtimes(incidents: Sequence[Incident]) -> Iterator[str]:
    """How long writes stop when the leader's host crashes, else in the worst case, and where a limit was exceeded."""
    lost = [one for one in incidents if not one.planned and _LEADER_LOST.search(one.kind)]
    measured = [one for one in costs(lost) if one.longest is not None]
    measured.sort(key=lambda one: (one.kind != _HOST_OF_LEADER, not one.exceeded))
    if measured:
        yield from (_stopped(one) for number, one in enumerate(measured) if not number or one.exceeded)
        return
    if (worst := worst_unplanned(incidents)) is not None:
        yield _stopped(_cost(worst.kind, [worst]))
        return
    led = [one for one in lost if one.new_leader_after is not None]
    if slowest := max(led, key=lambda one: one.new_leader_after or 0, default=None):
        yield (
            f"When {slowest.kind}, another member leads after {slowest.new_leader_after:.1f} s; no client was writing."
        )


def _stopped(one: Cost) -> str:
    if one.longest is None:
        return ""
    told = f"When {one.kind}, writes stop for {one.time}"
    if one.longest.limit is not None:
        told += f" (limit: {one.longest.limit:g} s)"
    if one.limited is not None and one.limited is not one.longest and (one.exceeded or one.longest.limit is None):
        where = "a scenario with a shorter limit" if one.longest.limit is not None else "the scenario that limits it"
        told += f"; in {where}, for {stopped_for(one.limited)} (limit: {one.limited.limit:g} s)"
    return f"{told}."


def _losses(found: Sequence[Cost]) -> str:
    known = [one for one in found if one.checked]
    if not known:
        return "Whether acknowledged writes were lost was not checked in this run."
    unchecked = sum(one.times - one.checked for one in found)
    rest = f" No ledger was read back after {counted(unchecked, 'other fault')}." if unchecked else ""
    if where := lost_where(found):
        return f"Acknowledged writes were lost: {where}.{rest}"
    number = sum(one.acknowledged or 0 for one in known)
    return f"No acknowledged write was lost: {counted(number, 'write')} checked, none missing.{rest}"


def lost_where(found: Iterable[Cost]) -> str:
    """How many acknowledged writes each kind of fault lost; empty if none did."""
    lost = sorted((one for one in found if one.lost), key=lambda one: -(one.lost or 0))
    return "; ".join(f"{one.lost:,} of {one.acknowledged or 0:,} when {one.kind}{_reach(one)}" for one in lost)


def _reach(one: Cost) -> str:
    """How far the lost writes reach back: the recovery point as it was measured."""
    if one.lost_reach_back is None:
        return ""
    return f" (acknowledged up to {humane(one.lost_reach_back, 's')} before the fault)"


def _unanswered(incidents: Sequence[Incident]) -> str:
    known = [one.unanswered for one in incidents if one.unanswered is not None]
    if not known:
        return ""
    if not sum(known):
        return f"Every write got an answer{' where a ledger was read back' if len(known) < len(incidents) else ''}."
    number = f"{'At least ' if len(known) < len(incidents) else ''}{counted(sum(known), 'write')}"
    return f"{number} ended without an answer: the clients cannot know the outcome."


def _most(values: Iterable[float | None]) -> float | None:
    return max(_known(values), default=None)


def _sum(values: Iterable[int | None]) -> int | None:
    known = [one for one in values if one is not None]
    return sum(known) if known else None


def _known(values: Iterable[float | None]) -> Iterator[float]:
    return (one for one in values if one is not None)
