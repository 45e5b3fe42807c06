"""What happened around a fault, drawn as a picture (PNG), and attached as evidence of the scenario."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from support.engine import ledger
from support.engine.checks.availability import Gap
from support.engine.fault_record import SLICE, gap_of, record_of, states_of, zero_of
from support.engine.history import History, Operation, Outcome, WriterSample
from support.engine.ledger import APPEND
from support.faults.nemesis import InjectedFault, without_preparations
from support.reporting.evidence import Evidence
from support.reporting.fault_record import NAME, PICTURE, MemberState
from support.waiting import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_STATES = {
    "writes": ("takes writes", "#1b7f4b"),
    "reads": ("is read-only", "#a9c3dc"),
    "silent": ("does not answer", "#d1495b"),
}
_OUTCOMES = {
    Outcome.OK: ("acknowledged", "#1b7f4b"),
    Outcome.FAIL: ("refused", "#e0a030"),
    Outcome.UNKNOWN: ("outcome unknown", "#7a3b8f"),
}
_FAULT, _HEAL, _PREPARATION = "#d1495b", "#3a6ea5", "#8a8a8a"


def attach(
    evidence: Evidence,
    title: str,
    samples: Sequence[WriterSample],
    history: History | None,
    injected_faults: Sequence[InjectedFault],
    events: Iterable[tuple[float, str, str]] = (),
    groups: Iterable[Collection[str]] = (),
    reads: History | None = None,
) -> None:
    """Attach the picture, its data, and the histories as JSON lines. Never raises: an error is attached instead.

    `events`, `groups` and `reads` as in `record_of`.
    """
    try:
        evidence.attach_picture(PICTURE, picture(title, samples, history, injected_faults, reads))
        evidence.attach_data(NAME, record_of(title, samples, history, injected_faults, events, groups, reads).json)
        if history is not None:
            evidence.attach_lines("what clients did", history.lines)
        if history is not None and history.of(action=APPEND):
            evidence.attach_lines("the ledger, for an independent checker (elle)", ledger.as_set(history), "json")
        if reads is not None:
            evidence.attach_lines("what readers did", reads.lines)
    except Exception as error:
        evidence.attach("what happened could not be drawn", f"{type(error).__name__}: {describe(error)}")


def picture(
    title: str,
    samples: Sequence[WriterSample],
    history: History | None,
    injected_faults: Sequence[InjectedFault],
    reads: History | None = None,
) -> bytes:
    """A PNG. Its time axis begins with the first fault, or with the first sample if there was none."""
    from matplotlib.figure import Figure  # imported here: it takes a second, and most scenarios need no picture

    zero = zero_of(samples, injected_faults)
    operations = list(history or ())
    rates = [(what, those) for what, those in (("operations", operations), ("reads", list(reads or ()))) if those]
    figure = Figure(figsize=(12, 3.2 + 2.3 * len(rates)), layout="constrained")
    panels = [*figure.subplots(1 + len(rates), 1, sharex=True, squeeze=False).flat]
    _draw_members(panels[0], states_of(samples), zero)
    for panel, (what, those) in zip(panels[1:], rates, strict=True):
        _draw_operations(panel, what, those, zero)
    if operations:
        _draw_gap(panels[1], gap_of(operations, injected_faults), zero)
    for panel in panels:
        _draw_faults(panel, injected_faults, zero, named=panel is panels[0])
        if panel.get_legend_handles_labels()[0]:
            panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    _name(figure, panels, title, injected_faults)
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=100)
    return drawn.getvalue()


def _draw_members(panel: "Axes", found: Sequence[MemberState], zero: float) -> None:
    members = sorted({one.member for one in found}, reverse=True)
    for state, (words, colour) in _STATES.items():
        for row, member in enumerate(members):
            bars = [
                (one.begun - zero, one.ended - one.begun)
                for one in found
                if one.member == member and one.state == state
            ]
            panel.broken_barh(bars, (row - 0.35, 0.7), facecolors=colour, label=None if row else words)
    panel.set_yticks(range(len(members)), members)
    panel.set_ylabel("member")


def _draw_operations(panel: "Axes", what: str, operations: Sequence[Operation], zero: float) -> None:
    """The rate at which operations ended, in steps of half a second; failed ones are drawn below the line."""
    for outcome, (words, colour) in _OUTCOMES.items():
        bins = Counter((one.ended - zero) // SLICE for one in operations if one.outcome is outcome)
        sign = 1 if outcome is Outcome.OK else -1
        heights = [sign * count / SLICE for count in bins.values()]
        panel.bar([at * SLICE for at in bins], heights, SLICE, align="edge", color=colour, label=words)
    panel.axhline(0, color="black", linewidth=0.8)
    panel.yaxis.set_major_formatter(lambda rate, _: f"{abs(rate):g}")
    panel.set_ylabel(f"{what} a second")


def _draw_gap(panel: "Axes", gap: Gap | None, zero: float) -> None:
    if gap is None:
        return
    words = f"longest gap: {gap.seconds:.1f} s"
    panel.axvspan(gap.begun - zero, gap.ended - zero, color="#eeeeee", zorder=0)
    panel.annotate(words, ((gap.begun + gap.ended) / 2 - zero, panel.get_ylim()[1] * 0.9), ha="center", va="top")


def _draw_faults(panel: "Axes", injected_faults: Sequence[InjectedFault], zero: float, *, named: bool) -> None:
    """When each fault began, was seen in effect, and was healed; for a preparation, only when it began."""
    prepared = [one for one in injected_faults if one.preparation]
    for number, one in enumerate(prepared):
        label = "a preparation" if named and number == 0 else None
        panel.axvline(one.begun - zero, color=_PREPARATION, linewidth=1, label=label)
    for number, one in enumerate(without_preparations(injected_faults)):
        first = named and number == 0
        panel.axvline(one.begun - zero, color=_FAULT, linewidth=1.5, label="the fault begins" if first else None)
        label = "it is in effect" if first else None
        if one.took_effect is not None:
            panel.axvline(one.took_effect - zero, color=_FAULT, linewidth=1.5, linestyle=":", label=label)
        if one.healing is not None:
            label = "it is healed" if first else None
            panel.axvline(one.healing - zero, color=_HEAL, linewidth=1.5, linestyle="--", label=label)


def _name(figure: "Figure", panels: Sequence["Axes"], title: str, injected_faults: Sequence[InjectedFault]) -> None:
    found = without_preparations(injected_faults)
    faults = "; then ".join(one.words for one in found) or "no fault"
    figure.suptitle(f"{title}: {faults}" if title else faults, wrap=True)
    since = {0: "the first look", 1: "the fault began"}.get(len(found), "the first fault began")
    panels[-1].set_xlabel(f"seconds since {since}")
