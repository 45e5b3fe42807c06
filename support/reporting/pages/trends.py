"""A run held against the runs before it: what is newly broken, fixed or slow, and how its figures moved."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from support.reporting.chance import MARGIN, Change, change, spread
from support.reporting.pages.costs import KeyFigure, humane, worst_unplanned
from support.reporting.past import SHOWN, Figure, PastRun
from support.reporting.scenario import Measure, Verdict
from support.vocabulary import counted

_BROKEN, _PASSED = str(Verdict.BROKEN), str(Verdict.PASSED)
TELLING = 5
"""Earlier runs that it takes to tell whether a figure got worse."""
_LATEST = 3  # runs, this one included, that are held against the ones before: as few as can be significant
_WIDTH, _HEIGHT = 180, 34


@dataclass(frozen=True)
class Since:
    """Since when a promise is broken."""

    promise: str
    began: float
    """The first run of the unbroken row of runs that found it broken; seconds since the epoch."""
    runs: int
    """How many runs that row has, this one included."""
    kept_last: float | None
    """The last run before that which found it kept; None if no run on record did."""

    @property
    def newly(self) -> bool:
        """Whether it was kept when it was last judged."""
        return self.runs == 1 and self.kept_last is not None

    @property
    def first_judged(self) -> bool:
        """Whether no run on record judged it before: it may have been broken all along."""
        return self.runs == 1 and self.kept_last is None

    def __str__(self) -> str:
        if self.first_judged:
            return "broken, and first judged in this run"
        if self.kept_last is None:
            return (
                f"broken since at least {day(self.began)} ({counted(self.runs, 'run')}); no run on record found it kept"
            )
        if self.newly:
            return f"newly broken; kept on {day(self.kept_last)}"
        return f"broken since {day(self.began)} ({counted(self.runs, 'run')}); kept on {day(self.kept_last)}"


@dataclass(frozen=True)
class Trend:
    """A figure over the runs."""

    words: str
    values: tuple[float, ...]
    """The oldest first, this run's last."""
    unit: str
    limit: float | None
    at_least: bool
    judgement: str
    worse: bool

    @property
    def now(self) -> str:
        return humane(self.values[-1], self.unit)

    @property
    def picture(self) -> Markup:
        return sparkline(self.values, self.limit)


def broken_since(run: PastRun, past: Sequence[PastRun]) -> dict[str, Since]:
    """For each broken promise since when it is, by the runs that judged it."""
    found = {}
    for id, verdict in run.promises.items():
        if verdict != _BROKEN:
            continue
        began, runs, kept_last = run.began, 1, None
        for one in reversed(past):
            if one.verdict(id) == _BROKEN:
                began, runs = one.began, runs + 1
            elif one.verdict(id) == _PASSED:
                kept_last = one.began
                break
        found[id] = Since(id, began, runs, kept_last)
    return found


def fixed(run: PastRun, past: Sequence[PastRun]) -> list[str]:
    """The promises that are kept now, and were broken when they were last judged."""
    return [id for id, verdict in run.promises.items() if verdict == _PASSED and _last(id, past) == _BROKEN]


def trends(run: PastRun, past: Sequence[PastRun], shown: Iterable[KeyFigure]) -> list[Trend]:
    """The worst interruption, and the key figures of speed, over all runs that measured them."""
    found = []
    every = [*past, run]
    worst = [incident for each in every if (incident := worst_unplanned(each.incidents)) is not None]
    if worst_unplanned(run.incidents) is not None:
        values = [incident.without_writes or 0.0 for incident in worst][-SHOWN - 1 :]
        found.append(_trend("Longest time without writes", values, Measure("", 0, "s", worst[-1].limit)))
    for one in shown:
        found.append(_trend(one.words, _values(one.figure, every), one.measure))
    return found


def comparable(run: PastRun, past: Sequence[PastRun]) -> int:
    """How many earlier values the best known of this run's figures with a limit has."""
    limited = [one for one in run.figures if one.measure.limit is not None]
    return max((len(_values(one, past)) for one in limited), default=0)


def slower(run: PastRun, past: Sequence[PastRun]) -> list[tuple[Figure, str]]:
    """The figures with a limit that got worse beyond chance, or are worse than in any earlier run, with the words.

    What is nearest to its limit comes first.
    """
    found = []
    for figure in run.figures:
        if figure.measure.limit is None:
            continue
        words, worse = _judged(_values(figure, [*past, run]), figure.measure)
        if worse:
            found.append((figure, words))
    return sorted(found, key=lambda one: one[0].measure.used_up, reverse=True)


def sparkline(values: Sequence[float], limit: float | None = None) -> Markup:
    """A small picture of the values; its line for the limit is there if the limit is anywhere near them."""
    top = max([*values, limit if limit is not None and limit <= 3 * max(values) else 0.0]) * 1.08 or 1.0

    def y(value: float) -> float:
        return round(_HEIGHT - 4 - (_HEIGHT - 8) * value / top, 1)

    step = (_WIDTH - 10) / max(len(values) - 1, 1)
    points = " ".join(f"{5 + number * step:.1f},{y(value)}" for number, value in enumerate(values))
    x = 5 + (len(values) - 1) * step
    line = ""
    if limit is not None and limit <= top:
        line = (
            f'<line x1="0" x2="{_WIDTH}" y1="{y(limit)}" y2="{y(limit)}" stroke="var(--fault)" stroke-dasharray="3 3"/>'
        )
    return Markup(
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="the last {counted(len(values), "run")}">{line}'
        f'<polyline points="{points}" fill="none" stroke="var(--link)" stroke-width="1.5"/>'
        f'<circle cx="{x:.1f}" cy="{y(values[-1])}" r="3" fill="var(--link)"/></svg>'
    )


def row_of_runs(run: PastRun, past: Sequence[PastRun]) -> list[tuple[str, str]]:
    """Each run as a style and a sentence, the oldest first."""
    found = []
    for one in [*past, run]:
        counts = [sum(verdict == word for verdict in one.promises.values()) for word in (_PASSED, _BROKEN)]
        others = len(one.promises) - sum(counts)
        style = "broken" if counts[1] else "kept" if one.status == 0 else "error"
        found.append((style, f"{day(one.began)}: {counts[0]} kept, {counts[1]} broken, {others} not judged"))
    return found


def day(moment: float) -> str:
    """A moment for people, in local time."""
    return time.strftime("%d %b %Y, %H:%M", time.localtime(moment))


def _trend(words: str, values: Sequence[float], measure: Measure) -> Trend:
    judgement, worse = _judged(values, measure)
    return Trend(words, tuple(values), measure.unit, measure.limit, measure.at_least, judgement, worse)


def _judged(values: Sequence[float], measure: Measure) -> tuple[str, bool]:
    """How the last of these values compares with those before it, and whether it is worse."""
    earlier = values[:-1]
    if not earlier:
        return "measured for the first time", False
    if len(earlier) < TELLING:
        return f"{counted(len(earlier), 'earlier run')}: too few to separate a change from noise", False
    cost = [1 / max(one, 1e-12) if measure.at_least else one for one in values]
    middle = spread(cost[:-1]).median or 1e-12
    times, usual = cost[-1] / middle, f"usually {humane(spread(earlier).median, measure.unit)}"
    if change(cost[-_LATEST:], cost[:-_LATEST]) is Change.WORSE:
        return f"{usual}; worse in the last {_LATEST} runs than in the {len(values) - _LATEST} before", True
    if times > MARGIN and cost[-1] > max(cost[:-1]):
        return f"{usual}; worse than in each of {counted(len(earlier), 'earlier run')}", True
    if change(cost[-_LATEST:], cost[:-_LATEST]) is Change.BETTER:
        return f"significantly better in the last {_LATEST} runs", False
    return f"as in {counted(len(earlier), 'earlier run')}", False


def _values(figure: Figure, runs: Iterable[PastRun]) -> list[float]:
    """The value of that figure in each of the last runs that measured it; the last one where one did several times."""
    found = []
    for run in runs:
        values = [one.measure.value for one in run.figures if one.key == figure.key]
        if run.figures and values:
            found.append(figure.measure.value if figure in run.figures else values[-1])
    return found[-SHOWN - 1 :]


def _last(id: str, past: Sequence[PastRun]) -> str:
    judged = (one.verdict(id) for one in reversed(past))
    return next((verdict for verdict in judged if verdict in (_BROKEN, _PASSED)), "")
