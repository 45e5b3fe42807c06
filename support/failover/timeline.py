"""What happened during a fault: which member accepted writes, which was silent, what clients achieved, what it cost.

As a picture (PNG), and as data from which the pages of the report draw their own.
"""

import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Literal

from support.engine import ledger
from support.engine.checks.availability import Gap, longest_gap
from support.engine.history import History, Operation, Outcome, WriterSample
from support.engine.ledger import APPEND, LOST_REACH_BACK
from support.engine.time_spent import takeovers
from support.faults.nemesis import InjectedFault
from support.reporting.evidence import Evidence
from support.reporting.scenario import Incident, Measure
from support.reporting.timeline import NAME, PICTURE, Event, FaultSpan, Rates, Timeline, thinned
from support.reporting.timeline import Period as Span
from support.waiting import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_STATES = {True: ("takes writes", "#1b7f4b"), False: ("is read-only", "#a9c3dc"), None: ("does not answer", "#d1495b")}
_OUTCOMES = {
    Outcome.OK: ("acknowledged", "#1b7f4b"),
    Outcome.FAIL: ("refused", "#e0a030"),
    Outcome.UNKNOWN: ("outcome unknown", "#7a3b8f"),
}
_LATE = 0.5  # seconds an answer may take before its moment is its end
_BIN = 0.5  # seconds of operations in one bar
_FAULT, _HEAL = "#d1495b", "#3a6ea5"
_MOST_EVENTS = 250
_WORDS: dict[bool | None, Literal["writes", "reads", "silent"]] = {True: "writes", False: "reads", None: "silent"}
_OF_LOSS = {"acknowledged": "acknowledged writes", "lost": "lost writes", "unanswered": "unknown writes"}
"""The names of the figures behind an incident; one such figure for each ledger of a scenario."""


@dataclass(frozen=True)
class Period:
    """A time in which a member was in one state at every look; seconds on the monotonic clock."""

    member: str
    writable: bool | None
    """None while it did not answer."""
    begun: float
    ended: float


def attach(
    evidence: Evidence,
    title: str,
    samples: Sequence[WriterSample],
    history: History | None,
    injected_faults: Sequence[InjectedFault],
    events: Iterable[tuple[float, str, str]] = (),
    groups: Iterable[Collection[str]] = (),
) -> None:
    """Attach the picture, its data, and the history as JSON lines. Never raises: a failure is attached in their place.

    `events` are notable lines of logs: when each was written (seconds since the epoch), on which host, and its words.
    `groups` are the members that share one leader, for each group of them.
    """
    try:
        evidence.attach_picture(PICTURE, picture(title, samples, history, injected_faults))
        evidence.attach_data(NAME, timeline_of(title, samples, history, injected_faults, events, groups).json)
        if history is not None:
            evidence.attach_lines("what clients did", history.lines)
        if history is not None and history.of(action=APPEND):
            evidence.attach_lines("the ledger for elle-cli --model set", ledger.as_set(history), "json")
    except Exception as error:
        evidence.attach("what happened could not be drawn", f"{type(error).__name__}: {describe(error)}")


def picture(
    title: str, samples: Sequence[WriterSample], history: History | None, injected_faults: Sequence[InjectedFault]
) -> bytes:
    """A PNG. Its time axis begins with the first fault, or with the first look if there was none."""
    from matplotlib.figure import Figure  # here: it takes a second, and most scenarios need no picture

    zero = _zero(samples, injected_faults)
    operations = list(history or ())
    figure = Figure(figsize=(12, 5.5 if operations else 3.2), layout="constrained")
    panels = [*figure.subplots(2 if operations else 1, 1, sharex=True, squeeze=False).flat]
    _draw_members(panels[0], periods(samples), zero)
    if operations:
        _draw_operations(panels[1], operations, zero)
        _draw_gap(panels[1], _gap(operations, injected_faults), zero)
    for panel in panels:
        _draw_faults(panel, injected_faults, zero, named=panel is panels[0])
        if panel.get_legend_handles_labels()[0]:
            panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    _name(figure, panels, title, injected_faults)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    return drawn.getvalue()


def timeline_of(
    promise: str,
    samples: Sequence[WriterSample],
    history: History | None,
    injected_faults: Sequence[InjectedFault],
    events: Iterable[tuple[float, str, str]] = (),
    groups: Iterable[Collection[str]] = (),
) -> Timeline:
    """The same as data. `events` and `groups` as in `attach`."""
    zero = _zero(samples, injected_faults)
    epoch = at_epoch(zero)
    operations = list(history or ())
    gap = _gap(operations, injected_faults)
    found = periods(samples)
    return Timeline(
        promise=promise,
        zero=epoch,
        ended=_rounded(max([*(one.ended for one in found), *(one.ended for one in operations)], default=zero) - zero),
        periods=tuple(
            Span(one.member, _WORDS[one.writable], _rounded(one.begun - zero), _rounded(one.ended - zero))
            for one in found
        ),
        faults=tuple(_span(one, zero) for one in injected_faults),
        rates=_rates(operations, zero) if operations else None,
        gap=(_rounded(gap.begun - zero), _rounded(gap.ended - zero)) if gap else None,
        events=thinned((Event(_rounded(at - epoch), host, words) for at, host, words in events), _MOST_EVENTS),
        groups=tuple(tuple(one) for one in groups),
    )


def incident_of(
    samples: Sequence[WriterSample],
    history: History | None,
    injected_faults: Sequence[InjectedFault],
    measures: Sequence[Measure],
    *,
    groups: Sequence[Collection[str]],
    redundant_at: float | None,
    planned: bool,
) -> Incident | None:
    """What the faults cost, in figures; None if there was none.

    `groups`: the members that share one leader, for each group of them; in a sharded cluster the coordinator's first.

    `redundant_at`: when every member was seen to be healthy again, with all faults healed; monotonic clock. The figures
    about lost writes are those that the scenario has measured.
    """
    if not injected_faults:
        return None
    since = min(one.begun for one in injected_faults)
    gap = longest_gap(history, APPEND, since) if history is not None and _acknowledged(history, since) else None
    words = injected_faults[0].words
    hit = next((one for one in groups if any(_names(words, member) for member in one)), groups[0] if groups else ())
    changes = [at for at in takeovers(one for one in samples if one.member in hit) if at > since]
    counts = {name: [one.value for one in measures if one.name.startswith(of)] for name, of in _OF_LOSS.items()}
    reach = [one.value for one in measures if one.name.startswith(LOST_REACH_BACK)]
    healing = [one.healing for one in injected_faults if one.healing is not None]
    limits = [one.limit for one in measures if one.name.endswith("were interrupted for") and one.limit is not None]
    return Incident(
        kind=kind_of(words, _roles(samples, groups, since)),
        fault="; then ".join(one.words for one in injected_faults),
        at=at_epoch(since),
        without_writes=gap.seconds if gap else None,
        new_leader_after=changes[0] - since if changes else None,
        redundant_after=redundant_at - since if redundant_at is not None else None,
        redundant_after_repair=redundant_at - max(healing) if redundant_at is not None and healing else None,
        refused=_refused(history, since),
        lost_reach_back=max(reach, default=None),
        limit=max(limits, default=None),
        planned=planned,
        **{name: int(sum(found)) if found else None for name, found in counts.items()},
    )


def kind_of(words: str, roles: Mapping[str, str]) -> str:
    """A fault without the names of members and hosts: "the host pg1 crashes" -> "the host of the leader crashes".

    `roles`: member -> its role, such as "the leader".
    """
    for member, role in sorted(roles.items(), key=lambda one: len(one[0]), reverse=True):
        name = _whole(member)
        words = re.sub(rf"\bhost {name}", f"host of {role}", words)
        words = re.sub(name, role, words)
    words = re.sub(r"\b(etcd)\d+\b", r"\1", words)
    words = re.sub(r"(?<=cut off from )(?:[\w-]+(?: [\w-]+)?, )+[\w -]+", _each_once, words)
    words = re.sub(r"\b(?:a replica, )+a replica\b", "replicas", words)
    return re.sub(r"\bhosts (?=the leader|a replica|replicas)", "hosts of ", words)


def _refused(history: History | None, since: float) -> int | None:
    """Writes that ended with an error since then; None if no client wrote."""
    if history is None or not history.of(action=APPEND):
        return None
    return sum(one.begun >= since for one in history.of(action=APPEND, outcome=Outcome.FAIL))


def _names(words: str, member: str) -> bool:
    return re.search(_whole(member), words) is not None


def _whole(name: str) -> str:
    """A pattern for a name where it is no part of another one: db1 is neither in db1-replica nor in db1.example.org."""
    return rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)"


def _roles(samples: Sequence[WriterSample], groups: Sequence[Collection[str]], moment: float) -> dict[str, str]:
    """The role of each member that was looked at, before that moment."""
    found = {one.member: "a replica" for one in samples}
    for number, members in enumerate(groups):
        leader, of = _leader_at(samples, members, moment), " of a worker group" if number else ""
        found |= {one: f"{'the leader' if one == leader else 'a replica'}{of}" for one in members}
    return found


def _each_once(listed: re.Match[str]) -> str:
    """A list of parts in one order, each named once."""
    parts = listed[0].split(", ")
    once = {"replicas" if part == "a replica" and parts.count(part) > 1 else part for part in parts}
    return ", ".join(sorted(once))


def at_epoch(moment: float) -> float:
    """A moment of the monotonic clock, in seconds since the epoch."""
    return time.time() - time.monotonic() + moment


def _leader_at(samples: Iterable[WriterSample], members: Collection[str], moment: float) -> str:
    """Who took writes last before that moment; empty if nobody was seen to."""
    writing = [one for one in samples if one.writable and one.ended <= moment and one.member in members]
    return max(writing, key=lambda one: one.ended).member if writing else ""


def _acknowledged(history: History, before: float) -> bool:
    return any(one.ended <= before for one in history.of(action=APPEND, outcome=Outcome.OK))


def _zero(samples: Sequence[WriterSample], injected_faults: Sequence[InjectedFault]) -> float:
    """The first fault, or the first look if there was none; on the monotonic clock."""
    return min([one.begun for one in injected_faults] or [one.begun for one in samples] or [time.monotonic()])


def _span(fault: InjectedFault, zero: float) -> FaultSpan:
    healing = None if fault.healing is None else _rounded(fault.healing - zero)
    healed = None if fault.healed is None else _rounded(fault.healed - zero)
    return FaultSpan(fault.words, _rounded(fault.begun - zero), _rounded(fault.in_effect_since - zero), healing, healed)


def _rates(operations: Iterable[Operation], zero: float) -> Rates:
    counts: dict[Outcome, Counter[float]] = {outcome: Counter() for outcome in Outcome}
    for one in operations:
        counts[one.outcome][(one.ended - zero) // _BIN * _BIN] += 1
    ordered = {outcome: tuple(sorted(found.items())) for outcome, found in counts.items()}
    return Rates(_BIN, ordered[Outcome.OK], ordered[Outcome.FAIL], ordered[Outcome.UNKNOWN])


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


def periods(samples: Iterable[WriterSample]) -> list[Period]:
    """Consecutive looks that found a member in one state, merged; each period lasts until the next begins.

    An answer that took long was given at the end of the look: a frozen member answers when it thaws.
    """
    found = []
    by_time = sorted(samples, key=lambda sample: (sample.member, sample.begun))
    for member, looks in groupby(by_time, key=lambda sample: sample.member):
        runs = [list(run) for _, run in groupby(looks, key=lambda sample: sample.writable)]
        ends = [_known_from(after[0]) for _, after in pairwise(runs)] + [runs[-1][-1].ended]
        found += [
            Period(member, run[0].writable, _known_from(run[0]), end) for run, end in zip(runs, ends, strict=True)
        ]
    return found


def _known_from(look: WriterSample) -> float:
    late = look.writable is not None and look.ended - look.begun > _LATE
    return look.ended if late else look.begun


def _gap(operations: Sequence[Operation], injected_faults: Sequence[InjectedFault]) -> Gap | None:
    """The longest time without any acknowledged operation, from the first fault on."""
    if not injected_faults:
        return None
    return longest_gap(History(operations), None, min(one.begun for one in injected_faults))


def _draw_members(panel: "Axes", found: Sequence[Period], zero: float) -> None:
    members = sorted({one.member for one in found}, reverse=True)
    for writable, (words, colour) in _STATES.items():
        for row, member in enumerate(members):
            bars = [
                (one.begun - zero, one.ended - one.begun)
                for one in found
                if one.member == member and one.writable is writable
            ]
            panel.broken_barh(bars, (row - 0.35, 0.7), facecolors=colour, label=None if row else words)
    panel.set_yticks(range(len(members)), members)
    panel.set_ylabel("member")


def _draw_operations(panel: "Axes", operations: Sequence[Operation], zero: float) -> None:
    """How many operations ended in each half second, as a rate; those that failed are drawn below the line."""
    for outcome, (words, colour) in _OUTCOMES.items():
        bins = Counter((one.ended - zero) // _BIN for one in operations if one.outcome is outcome)
        sign = 1 if outcome is Outcome.OK else -1
        heights = [sign * count / _BIN for count in bins.values()]
        panel.bar([at * _BIN for at in bins], heights, _BIN, align="edge", color=colour, label=words)
    panel.axhline(0, color="black", linewidth=0.8)
    panel.yaxis.set_major_formatter(lambda rate, _: f"{abs(rate):g}")
    panel.set_ylabel("operations a second")


def _draw_gap(panel: "Axes", gap: Gap | None, zero: float) -> None:
    if gap is None:
        return
    words = f"longest gap: {gap.seconds:.1f} s"
    panel.axvspan(gap.begun - zero, gap.ended - zero, color="#eeeeee", zorder=0)
    panel.annotate(words, ((gap.begun + gap.ended) / 2 - zero, panel.get_ylim()[1] * 0.9), ha="center", va="top")


def _draw_faults(panel: "Axes", injected_faults: Sequence[InjectedFault], zero: float, *, named: bool) -> None:
    """The beginning of each fault, when it was seen in effect, and its healing."""
    for number, one in enumerate(injected_faults):
        first = named and number == 0
        panel.axvline(one.begun - zero, color=_FAULT, linewidth=1.5, label="the fault begins" if first else None)
        label = "it is in effect" if first else None
        panel.axvline(one.in_effect_since - zero, color=_FAULT, linewidth=1.5, linestyle=":", label=label)
        if one.healing is not None:
            label = "it is healed" if first else None
            panel.axvline(one.healing - zero, color=_HEAL, linewidth=1.5, linestyle="--", label=label)


def _name(figure: "Figure", panels: Sequence["Axes"], title: str, injected_faults: Sequence[InjectedFault]) -> None:
    faults = "; then ".join(one.words for one in injected_faults) or "no fault"
    figure.suptitle(f"{title}: {faults}" if title else faults, wrap=True)
    since = {0: "the first look", 1: "the fault began"}.get(len(injected_faults), "the first fault began")
    panels[-1].set_xlabel(f"seconds since {since}")
