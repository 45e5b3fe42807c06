"""Two runs, or two sets of runs, side by side: which verdicts and figures differ, and whether that may be chance."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from support.reporting import chance, tally
from support.reporting.chance import SIGNIFICANCE, Change, change
from support.reporting.pages.costs import Cost, costs, humane
from support.reporting.past import Figure, PastRun
from support.reporting.scenario import Measure, Verdict
from support.vocabulary import counted

_BROKEN, _PASSED = str(Verdict.BROKEN), str(Verdict.PASSED)
_LABELS = {Change.UNCLEAR: "may be chance"}
_DIFFERS = "differs"
"""The word for a verdict that changed, which is no matter of chance itself."""
NOT_COMPARABLE = "not comparable"
"""The word for a promise that the two sides did not both judge."""
NOT_JUDGED = "not judged"
"""The word for a promise that was judged before, and now ended otherwise each time, though the target has what it
needs."""
_FACT = "each verdict holds for its own run; establishing whether a change between the runs is the cause"
_OF_THE_RUN = ("Seed",)
"""Facts that are about the run, and not about what was tested."""
_NO_VERDICT = {str(one) for _, those in tally.NOT_JUDGED for one in those} - {str(Verdict.SKIPPED)}
_ORDER = {Change.WORSE: 0, Change.UNCLEAR: 1, Change.BETTER: 2, Change.NONE: 3}


@dataclass(frozen=True)
class Side:
    """The runs on one side."""

    name: str
    runs: tuple[PastRun, ...]

    def verdicts(self, promise: str) -> Counter[str]:
        """How often the promise had each verdict."""
        return Counter(verdict for run in self.runs if (verdict := run.verdict(promise)))

    @property
    def promises(self) -> list[str]:
        return list(dict.fromkeys(id for run in self.runs for id in run.promises))

    @property
    def judged(self) -> set[str]:
        """The ids of the promises that at least one run judged."""
        return {id for id in self.promises if not {_PASSED, _BROKEN}.isdisjoint(self.verdicts(id))}

    @property
    def facts(self) -> Mapping[str, str]:
        """Facts about what was tested; of several values all."""
        found: dict[str, dict[str, None]] = {}
        for run in self.runs:
            for name, value in run.facts.items():
                found.setdefault(name, {})[value] = None
        return {name: "; ".join(values) for name, values in found.items()}


@dataclass(frozen=True)
class VerdictRow:
    """A promise on which the two sides differ."""

    promise: str
    before: str
    now: str
    change: Change
    words: str
    other_label: str = ""

    @property
    def label(self) -> str:
        return self.other_label or _LABELS.get(self.change, self.change)

    @property
    def no_longer_judged(self) -> bool:
        """Whether it was judged before, and could not be judged now."""
        return self.other_label == NOT_JUDGED

    @property
    def style(self) -> str:
        if self.no_longer_judged:
            return "error"
        return {Change.WORSE: "broken", Change.BETTER: "kept"}.get(self.change, "none")


@dataclass(frozen=True)
class FigureRow:
    """A figure on both sides."""

    figure: Figure
    before: tuple[float, ...]
    now: tuple[float, ...]
    change: Change

    @property
    def label(self) -> str:
        return _LABELS.get(self.change, self.change)

    @property
    def values(self) -> tuple[str, str]:
        """The medians, with their units."""
        unit = self.figure.measure.unit
        return humane(median(self.before), unit), humane(median(self.now), unit)

    @property
    def ratio(self) -> str:
        """How the median changed, as a factor; empty where one of them is not above 0."""
        before, now = median(self.before), median(self.now)
        return f"{now / before:.2f}" if before > 0 and now > 0 else ""

    @property
    def style(self) -> str:
        return {Change.WORSE: "broken", Change.BETTER: "kept"}.get(self.change, "none")


@dataclass(frozen=True)
class Comparison:
    """Everything that differs, and everything that was measured on both sides."""

    before: Side
    now: Side
    verdicts: tuple[VerdictRow, ...]
    figures: tuple[FigureRow, ...]
    """The worse ones first."""
    costs: tuple[tuple[str, Cost | None, Cost | None], ...]
    """Kind of fault, and what it cost on each side."""
    facts: tuple[tuple[str, str, str], ...]
    """What was tested, where it differs."""
    alike: int
    """How many promises have the same verdict on both sides."""

    @property
    def worse(self) -> bool:
        """Whether something got worse, and that is not a matter of chance."""
        return Change.WORSE in self._changes

    @property
    def failed(self) -> bool:
        """Whether something got worse, or could not be judged any more."""
        return self.worse or any(one.no_longer_judged for one in self.verdicts)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compare: no promise was judged, and no figure measured, on both sides."""
        return not self.figures and self.before.judged.isdisjoint(self.now.judged)

    @property
    def style(self) -> str:
        """How the page shows the outcome."""
        return "broken" if self.failed else "none" if self.empty else "kept"

    @property
    def _changes(self) -> list[Change]:
        return [*(one.change for one in self.verdicts), *(one.change for one in self.figures)]

    @property
    def sentence(self) -> str:
        """The outcome in a sentence."""
        parts = [
            f"{counted(len(those), noun)} {words}"
            for noun, rows in (("promise", self.verdicts), ("figure", self.figures))
            for change, words in ((Change.WORSE, "worse"), (Change.BETTER, "better"))
            if (those := [one for one in rows if one.change is change])
        ]
        verdicts, figures = (
            [one.change for one in rows].count(Change.UNCLEAR) for rows in (self.verdicts, self.figures)
        )
        unjudged = sum(one.no_longer_judged for one in self.verdicts)
        if self.empty and not unjudged:
            return "Nothing can be compared: no promise was judged on both sides, and they have no figure in common."
        told = [", ".join(parts)] if parts else [] if verdicts or unjudged else ["no significant difference"]
        if unjudged:
            told.append(f"{counted(unjudged, 'promise')} could not be judged any more")
        if verdicts:
            differ = "verdict differs" if verdicts == 1 else "verdicts differ"
            told.append(f"{verdicts} {differ}, and only more runs can tell whether a change is the cause")
        if figures:
            told.append(f"{counted(figures, 'figure')} may differ by chance")
        words = "; ".join(told)
        return f"{words[:1].upper()}{words[1:]}."


def compare(before: Side, now: Side) -> Comparison:
    """Hold the runs of two sides against each other."""
    both = [id for id in before.promises if id in now.promises]
    rows = [row for id in dict.fromkeys([*before.promises, *now.promises]) if (row := _verdicts(id, before, now))]
    figures = sorted(_figures(before.runs, now.runs), key=lambda one: (_ORDER[one.change], one.figure.promise))
    return Comparison(
        before,
        now,
        tuple(sorted(rows, key=_place)),
        tuple(figures),
        tuple(_costs(before.runs, now.runs)),
        tuple(
            (name, before.facts.get(name, "none"), now.facts.get(name, "none"))
            for name in dict.fromkeys([*before.facts, *now.facts])
            if before.facts.get(name) != now.facts.get(name) and name not in _OF_THE_RUN
        ),
        len(both) - sum(one.promise in both for one in rows),
    )


def _verdicts(id: str, before: Side, now: Side) -> VerdictRow | None:
    """How the verdicts on a promise differ; None if they do not."""
    then, later = before.verdicts(id), now.verdicts(id)
    if set(then) == set(later) and (len(then) == 1 or then == later):
        return None
    told = _told(then, len(before.runs)), _told(later, len(now.runs))
    failed, failed_before = later[_BROKEN], then[_BROKEN]
    judged, judged_before = failed + later[_PASSED], failed_before + then[_PASSED]
    if judged_before and not judged and _NO_VERDICT.intersection(later):
        return VerdictRow(id, *told, Change.NONE, "it was judged before; the report says why not now", NOT_JUDGED)
    if not judged or not judged_before:
        which = "only one" if judged or judged_before else "neither"
        return VerdictRow(id, *told, Change.NONE, f"{which} side judged it", NOT_COMPARABLE)
    if failed * judged_before == failed_before * judged:
        return VerdictRow(id, *told, Change.NONE, "as often broken as before")
    got_worse = failed * judged_before > failed_before * judged
    worse = (failed, judged, failed_before, judged_before)
    p = chance.chance_of(*(worse if got_worse else (failed_before, judged_before, failed, judged)))
    wrong, wrong_before = (any(id in run.wrong for run in one.runs) for one in (now, before))
    if got_worse and wrong and not wrong_before:
        return VerdictRow(id, *told, Change.WORSE, "a wrong result was seen, which is never noise")
    if p > SIGNIFICANCE:
        few = min(judged, judged_before) < chance.ENOUGH
        words = f"{_FACT} takes {f'{chance.ENOUGH} runs on each side' if few else 'more runs'}"
        if wrong_before and got_worse:
            words = f"a wrong result was seen before as well; {words}"
        elif wrong_before:
            words = f"a wrong result was seen before, and its absence now proves little; {words}"
        return VerdictRow(id, *told, Change.UNCLEAR, words, _DIFFERS)
    return VerdictRow(id, *told, Change.WORSE if got_worse else Change.BETTER, f"p = {p:.3f}")


def _place(row: VerdictRow) -> tuple[int, str]:
    """What needs attention comes first."""
    return _ORDER[Change.UNCLEAR if row.no_longer_judged else row.change], row.promise


def _told(counts: Counter[str], runs: int) -> str:
    if not counts:
        return "not selected"
    if runs == 1:
        return next(iter(counts))
    return ", ".join(f"{verdict} in {count} of {runs}" for verdict, count in counts.most_common())


def _figures(before: Sequence[PastRun], now: Sequence[PastRun]) -> Iterator[FigureRow]:
    then, later = _samples(before), _samples(now)
    for key, (figure, values) in later.items():
        if key not in then:
            continue
        earlier = then[key][1]
        if figure.measure.at_least:
            found = change(_inverted(values), _inverted(earlier))
        elif figure.measure.limit is not None or figure.measure.unit in ("s", "ms"):
            found = change(values, earlier)
        else:
            continue  # a count: neither more nor less of it is better
        if _newly_wrong(figure.measure, values, earlier):
            found = Change.WORSE
        elif found is Change.UNCLEAR and _alike(values, earlier):
            found = Change.NONE
        yield FigureRow(figure, tuple(earlier), tuple(values), found)


def _newly_wrong(measure: Measure, values: Sequence[float], earlier: Sequence[float]) -> bool:
    """Whether there is now what must never be, such as a lost write, and was not before: never chance."""
    return measure.limit == 0 and not measure.at_least and max(values) > 0 >= max(earlier)


def _samples(runs: Iterable[PastRun]) -> dict[tuple[str, str, str], tuple[Figure, list[float]]]:
    """Each figure with its value in every run; of several in one run the last."""
    found: dict[tuple[str, str, str], tuple[Figure, list[float]]] = {}
    for run in runs:
        for key, figure in {one.key: one for one in run.figures}.items():
            _, values = found.setdefault(key, (figure, []))
            found[key] = (figure, [*values, figure.measure.value])
    return found


def _alike(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the medians differ by less than matters to anybody."""
    low, high = sorted((median(one), median(other)))
    return high == low or (low > 0 and high / low <= chance.MARGIN)


def _inverted(values: Iterable[float]) -> list[float]:
    return [1 / max(one, 1e-12) for one in values]


def _costs(before: Iterable[PastRun], now: Iterable[PastRun]) -> Iterator[tuple[str, Cost | None, Cost | None]]:
    then, later = (
        {one.kind: one for one in costs(incident for run in runs for incident in run.incidents)}
        for runs in (before, now)
    )
    for kind in dict.fromkeys([*later, *then]):
        yield kind, then.get(kind), later.get(kind)
