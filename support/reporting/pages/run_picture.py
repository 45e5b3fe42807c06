"""One picture of a whole run: which scenario ran when, how it ended, and when the cluster was broken."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from markupsafe import Markup

from support.reporting.journal import RunRecord
from support.reporting.pages.grid import WORDS
from support.reporting.scenario import EPICS, ScenarioResult

_LEFT, _ROW, _TOP, _WIDTH = 120, 16, 8, 1180
_COLOURS = {"kept": "var(--kept)", "broken": "var(--broken)", "inconclusive": "var(--inconclusive)"}
_COLOURS |= {"error": "var(--error)", "skipped": "var(--skipped)"}


@dataclass(frozen=True)
class Bar:
    """A scenario in its lane; seconds since the run began."""

    result: ScenarioResult
    begun: float
    ended: float


def picture(record: RunRecord) -> Markup:
    """The run as SVG; empty where nothing ran. A lane for each capability, more where several ran side by side."""
    ran = [one for one in record.results if one.began]
    if not ran:
        return Markup("")
    zero = min([record.began or ran[0].began, *(one.began for one in ran)])
    end = max(max(one.began + one.seconds for one in ran) - zero, 1.0)
    groups = _lanes(ran, zero)
    height = _TOP + sum(len(lanes) for _, lanes in groups) * _ROW + 8 * len(groups)
    drawn, y = [], float(_TOP)
    for name, lanes in groups:
        drawn.append(f'<text x="0" y="{y + 12}">{escape(name)}</text>')
        for lane in lanes:
            drawn += [_bar(one, y, end) for one in lane]
            y += _ROW
        y += 8
    drawn += _faults(ran, zero, end, height)
    drawn += _axis(end, height, zero)
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {height + 24}" width="100%" role="img" aria-label="the whole run">'
        f"{''.join(drawn)}</svg>"
    )


def _lanes(ran: Sequence[ScenarioResult], zero: float) -> list[tuple[str, list[list[Bar]]]]:
    """The bars of each capability, in as few lanes as they need not to cover one another."""
    by_suite: dict[str, list[Bar]] = defaultdict(list)
    for one in sorted(ran, key=lambda result: result.began):
        by_suite[one.scenario.suite].append(Bar(one, one.began - zero, one.began - zero + one.seconds))
    order = [*EPICS, *(name for name in by_suite if name not in EPICS)]
    groups = []
    for suite in (name for name in order if name in by_suite):
        lanes: list[list[Bar]] = []
        for bar in by_suite[suite]:
            free = next((lane for lane in lanes if lane[-1].ended <= bar.begun + 0.05), None)
            if free is None:
                lanes.append(free := [])
            free.append(bar)
        groups.append((by_suite[suite][0].result.scenario.epic, lanes))
    return groups


def _x(second: float, end: float) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - 10) * second / end, 1)


def _bar(bar: Bar, y: float, end: float) -> str:
    scenario, word = bar.result.scenario, WORDS[bar.result.verdict]
    x, width = _x(bar.begun, end), max(_x(bar.ended, end) - _x(bar.begun, end), 1.5)
    told = f"{scenario.title}: {word}, {bar.result.seconds:.1f} s"
    return (
        f'<a href="index.html#{scenario.key[:12]}"><rect x="{x}" y="{y + 2}" width="{width:.1f}" height="{_ROW - 4}" '
        f'rx="2" fill="{_COLOURS.get(word, "var(--none)")}" stroke="var(--card)" stroke-width="0.5">'
        f"<title>{escape(told)}</title></rect></a>"
    )


def _faults(ran: Sequence[ScenarioResult], zero: float, end: float, height: float) -> list[str]:
    """A mark where each fault began, and a band for the time without writes that it cost."""
    drawn = []
    for one in (result.incident for result in ran if result.incident):
        x = _x(one.at - zero, end)
        lost = one.without_writes or 0.0
        width = _x(one.at - zero + lost, end) - x
        told = f"{one.fault}; no writes for {lost:.1f} s" if one.without_writes is not None else one.fault
        drawn.append(
            f"<g><title>{escape(told)}</title>"
            f'<rect x="{x}" y="{_TOP}" width="{max(width, 1):.1f}" height="{height - _TOP}" fill="var(--fault)" '
            f'opacity="0.16"/><path d="M{x} {_TOP}V{height}" stroke="var(--fault)" aria-label={quoteattr(told)}/></g>'
        )
    return drawn


def _axis(end: float, height: float, zero: float) -> list[str]:
    step = next((one for one in (5, 10, 30, 60, 120, 300, 600, 1200, 3600) if end / one <= 12), 7200)
    drawn = []
    for second in range(0, int(end) + 1, step):
        clock = time.strftime("%H:%M:%S" if step < 60 else "%H:%M", time.localtime(zero + second))
        x = _x(second, end)
        drawn.append(f'<line x1="{x}" x2="{x}" y1="{height}" y2="{height + 4}" stroke="var(--quiet)"/>')
        drawn.append(f'<text class="quiet" x="{x}" y="{height + 18}" text-anchor="middle">{clock}</text>')
    return drawn
