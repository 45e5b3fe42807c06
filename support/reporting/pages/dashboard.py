"""The page for management: does the cluster keep its promises, what did breaking it cost, how fast is it, since when,
how sure is that, and what was not tested."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from support.reporting.journal import RunRecord
from support.reporting.pages import costs, run_picture, trends
from support.reporting.pages.glance import UNCLEAR, confidence, glance
from support.reporting.pages.grid import (
    MEANINGS,
    NOT_RUN,
    STYLES,
    PromiseState,
    by_capability,
    counts_by_word,
    extent,
    not_tested,
    totals,
)
from support.reporting.pages.on_call import place
from support.reporting.pages.scenarios import Picture
from support.reporting.past import KEY, SHOWN, Figure, PastRun
from support.reporting.tally import known_limits, lost_line
from support.reporting.trust import Trust
from support.vocabulary import counted

_EMBEDDED = "embedded cluster"
"""The target of a run on a cluster that the suite booted; for several runs, only if all were."""
MOST_COSTS = 9
"""How many kinds of fault are shown at first: those that cost most."""
MOST_SLOW = 5
"""How many figures that got slow are shown at first: those nearest to their limits."""
MOST_PICTURES = 40
"""How many failovers are drawn on the page; the others are shown with their scenarios."""


@dataclass(frozen=True)
class Answer:
    """A run in a sentence."""

    sentence: str
    style: str
    details: str


@dataclass(frozen=True)
class Failing:
    """A promise that is broken, or that could not be judged."""

    state: PromiseState
    since: str
    anchor: str
    """The anchor of its evidence, in the page of scenarios."""
    causes: Sequence[str] = ()
    """Ids of other broken promises that may be the cause."""
    effects: Sequence[str] = ()
    """Ids of other broken promises of which this one may be the cause."""


def answer(record: RunRecord, states: Sequence[PromiseState]) -> Answer:
    """Does the cluster keep its promises?"""
    counts = Counter(one.word for one in states)
    kept, broken, judged = counts["kept"], counts["broken"], counts["kept"] + counts["broken"]
    unclear = counts["inconclusive"] + counts["error"]
    if broken:
        return Answer(f"No: the cluster breaks {counted(broken, 'promise')}.", "broken", totals(states))
    if not judged:
        return Answer("Unknown: this run judged no promise.", "error", totals(states))
    if unclear or record.failing:
        sentence = f"Not certain: {counted(unclear or len(record.failing), 'promise')} could not be judged."
        return Answer(sentence, "error", totals(states))
    if caveat := _caveat(record):
        return Answer(f"{counted(kept, 'promise')} kept, but {caveat}.", "error", totals(states))
    those = {1: "the one promise that was", 2: "both promises that were"}.get(kept, f"all {kept} promises that were")
    sentence = f"Yes: the cluster keeps {'every promise' if kept == len(states) else f'{those} tested'}."
    return Answer(sentence, "kept", totals(states))


def about(record: RunRecord) -> str:
    """What kind of cluster was tested, and whose data it has."""
    name = record.facts.get("Target")
    if name == _EMBEDDED and "Sandbox" in record.facts:
        return (
            "This run tested a throw-away cluster that the suite started on its own machine, with test data only: it "
            "is not production."
        )
    if not name:
        return ""
    faults = "injected no fault"
    if any(one.incident is not None for one in record.results):
        faults = "injected faults"
    elif record.disturbed:
        faults = "ran scenarios that inject faults"
    if "Runs" in record.facts and "; " in name:
        return f"These runs tested several clusters, {name}: they wrote only their own rows there, and {faults}."
    return f"This run tested your cluster {name}: it wrote only its own rows there, and {faults}."


def took(record: RunRecord) -> str:
    """How long the run took, and from where it was started."""
    minutes = (record.ended - record.began) / 60
    parts = []
    if record.began and minutes > 0:
        parts.append(f"took {minutes:.0f} min" if minutes >= 1 else f"took {60 * minutes:.0f} s")
    if place := record.facts.get("Tested from"):
        parts.append(f"run from {place}")
    return "; ".join(parts)


def summary(
    record: RunRecord, states: Sequence[PromiseState], run: PastRun, causes: Mapping[str, Sequence[str]]
) -> str:
    """In what way promises are broken, what was lost, and what to do next; empty where nothing is to be done."""
    broken = [one for one in states if one.word == "broken"]
    unclear = [one.promise.id for one in states if one.word in UNCLEAR]
    if not broken:
        return f"Next: run {', '.join(unclear)} again, which could not be judged." if unclear else ""
    ordered = sorted(broken, key=lambda one: place(one, causes))
    roots = [one.promise.id for one in ordered if one.promise.id not in causes]
    effects = [one.promise.id for one in ordered if one.promise.id in causes]
    possible = dict.fromkeys(id for one in effects for id in causes[one])
    again = f", then run {', '.join(effects)} again ({', '.join(possible)} may be the cause)" if effects else ""
    noise = {one.promise.id for one in broken if not one.wrong and not one.twice(record)}
    steps = [
        f"{verb} {', '.join(those)}{why}"
        for verb, those, why in (
            ("fix", [id for id in roots if id not in noise], ""),
            ("run", [id for id in roots if id in noise], " again, and fix what fails again"),
        )
        if those
    ]
    return f"{_what_broke(broken, run)} Next: {'; '.join(steps)}{again}."


def _what_broke(broken: Sequence[PromiseState], run: PastRun) -> str:
    """The kinds of failure, the most serious first, in a sentence each."""
    lost = sum(one.lost or 0 for one in run.incidents)
    wrong = [one.promise.id for one in broken if one.wrong]
    never = [one.promise.id for one in broken if one.never_came]
    late = [one.promise.id for one in broken if not one.wrong and not one.never_came]
    told = [
        f"Data is at risk: {counted(lost, 'acknowledged write')} lost after faults." if lost else "",
        f"Wrong results: {', '.join(wrong)}." if wrong else "",
        f"Expected events did not happen in time: {', '.join(never)}." if never else "",
        f"Time or speed limits exceeded: {', '.join(late)}." if late else "",
    ]
    if not lost and any(one.lost is not None for one in run.incidents):
        told.append("No acknowledged write was lost.")
    return " ".join(filter(None, told))


def _caveat(record: RunRecord) -> str:
    """Why a run is not a success although each promise that it judged is kept; empty if it is one."""
    if record.required_and_missing:
        return "something that was required is missing"
    if record.troubles:
        return "the run itself had errors"
    if record.fail_on_flaky and record.flaky:
        return "a scenario passed only on the rerun"
    return "the run did not finish" if record.without_verdict else ""


def context(
    record: RunRecord,
    states: Sequence[PromiseState],
    run: PastRun,
    past: Sequence[PastRun],
    pictures: Sequence[Picture],
    trust: Trust,
    trust_at: float,
    sabotages: Mapping[str, Sequence[str]],
    causes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """What the template needs beside the head of the page. `sabotages`: see `site.Knowledge`; `trust_at`: when it was
    last proved, in seconds since the epoch; `past`: all earlier runs of the target."""
    shown = past[-SHOWN:]
    since = trends.broken_since(run, past)
    failing = {
        word: [_failing(one, since, causes) for one in states if one.word == word]
        for word in ("broken", "inconclusive", "error")
    }
    for those in failing.values():
        those.sort(key=lambda one: place(one.state, causes))
    found = costs.costs(run.incidents)
    tiles = costs.key_figures(run.figures)
    noticed = Counter(one.id for one in trust.heard if one.noticed)
    times = [one.without_writes or 0.0 for one in found] + [one.bound or 0.0 for one in found]
    flaky_before = Counter(title for one in shown for title in one.flaky)
    return {
        "summary": summary(record, states, run, causes),
        "broken": failing["broken"],
        "judged_not": failing["error"] + failing["inconclusive"],
        "troubles": record.troubles,
        "lost": lost_line(record),
        "disturbed": record.disturbed,
        "cost_sentences": costs.told(found, run.incidents) if found else [],
        "glance": glance(states, run, past, since),
        "costs": found,
        "most_costs": costs.most_shown(found, MOST_COSTS),
        "telling": trends.TELLING,
        "comparable": trends.comparable(run, past),
        "longest": max(times, default=0.0) * 1.04 or 1.0,
        "tiles": tiles,
        "style_of": partial(_style_of, styles={one.promise.id: one.style for one in states if one.word in UNCLEAR}),
        "not_measured": costs.not_measured(tiles),
        "counts": counts_by_word(states),
        "meanings": MEANINGS,
        "styles": STYLES,
        "capabilities": by_capability(states),
        "proofs": noticed,
        "past": shown,
        "row_of_runs": trends.row_of_runs(run, shown),
        "newly_broken": [id for id, one in since.items() if one.newly],
        "first_judged": [id for id, one in since.items() if one.first_judged],
        "still_broken": [id for id, one in since.items() if one.runs > 1],
        "fixed": trends.fixed(run, past),
        "most_slow": MOST_SLOW,
        "humane": costs.humane,
        "slower": trends.slower(run, past),
        "trends": trends.trends(run, past, tiles),
        "confidence": list(confidence(record, states, trust, trust_at, sabotages)),
        "flaky": [(one.scenario, record.earlier[one.scenario.key]) for one in record.flaky],
        "flaky_before": flaky_before.most_common(5),
        "limits": known_limits(record),
        "members": record.facts.get("Members", ""),
        "not_tested": not_tested(states, record),
        "extent": extent(states),
        "not_run": NOT_RUN,
        "pictures": _worst_first(pictures, record)[:MOST_PICTURES],
        "run_picture": run_picture.picture(record),
        "figures": run.figures,
        "facts": record.facts,
    }


def _style_of(figure: Figure, styles: Mapping[str, str]) -> str:
    """The style of a figure, wherever it stands. `styles`: those of the promises that could not be judged."""
    return "kept" if figure.measure.within else styles.get(figure.promise, "broken")


def _worst_first(pictures: Sequence[Picture], record: RunRecord) -> list[Picture]:
    """The pictures of failed scenarios, then the others; in both, the longest time without writes first."""
    results = {key[:KEY]: result for key, result in record.by_key.items()}

    def place(one: Picture) -> tuple[bool, float]:
        result = results.get(one.scenario)
        incident = result.incident if result else None
        return not (result and result.verdict.failed), -((incident and incident.without_writes) or 0.0)

    return sorted(pictures, key=place)


def _failing(state: PromiseState, since: Mapping[str, trends.Since], causes: Mapping[str, Sequence[str]]) -> Failing:
    known = since.get(state.promise.id)
    told = str(known) if known else ""
    first = state.results[0].scenario if state.results else state.scenarios[0] if state.scenarios else None
    effects = [id for id, those in causes.items() if state.promise.id in those]
    anchor = first.key[:KEY] if first else ""
    return Failing(state, told[:1].upper() + told[1:], anchor, causes.get(state.promise.id, ()), effects)
