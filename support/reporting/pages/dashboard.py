"""The page for management: does the cluster keep its promises, what did breaking it cost, how fast is it, since when,
how sure is that, and what was not tested."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from support.reporting.journal import RunRecord
from support.reporting.pages import costs, run_timeline, trends
from support.reporting.pages.grid import (
    MEANINGS,
    NOT_SELECTED,
    STYLES,
    PromiseState,
    by_capability,
    counted,
    not_tested,
)
from support.reporting.pages.scenarios import Picture
from support.reporting.past import KEY, PastRun
from support.reporting.scenario import SEVERITIES
from support.reporting.tally import lost_line
from support.reporting.trust import Trust

MOST_COSTS = 9
"""How many kinds of fault are shown at first: those that cost most."""
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
    """Of its evidence, in the page of scenarios."""


def answer(record: RunRecord, states: Sequence[PromiseState]) -> Answer:
    """Does the cluster keep its promises?"""
    counts = Counter(one.word for one in states)
    kept, broken, judged = counts["kept"], counts["broken"], counts["kept"] + counts["broken"]
    unclear = counts["inconclusive"] + counts["error"]
    if broken:
        return Answer(f"No: the cluster breaks {_counted(broken, 'promise')}.", "broken", _details(states, counts))
    if not judged:
        return Answer("Unknown: this run judged no promise.", "error", _details(states, counts))
    if unclear or record.failing:
        sentence = f"Not certain: {_counted(unclear or len(record.failing), 'promise')} could not be judged."
        return Answer(sentence, "error", _details(states, counts))
    if blemish := _blemish(record):
        return Answer(f"{_counted(kept, 'promise')} kept, but {blemish}.", "error", _details(states, counts))
    every = f"all {kept} promises that were tested" if kept > 1 else "the one promise that was tested"
    sentence = f"Yes: the cluster keeps {'every promise' if kept == len(states) else every}."
    return Answer(sentence, "kept", _details(states, counts))


def _blemish(record: RunRecord) -> str:
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
) -> dict[str, Any]:
    """What the template needs beside the head of the page. `sabotages`: see `site.Knowledge`; `trust_at`: when it was
    last proved, in seconds since the epoch."""
    since = trends.broken_since(run, past)
    failing = {
        word: [_failing(one, since) for one in states if one.word == word]
        for word in ("broken", "inconclusive", "error")
    }
    for those in failing.values():
        those.sort(key=lambda one: SEVERITIES.index(one.state.promise.severity))
    words = {one.promise.id: one.style for one in states if one.word in ("inconclusive", "error")}
    found = costs.costs(run.incidents)
    tiles = costs.key_figures(run.figures)
    noticed = Counter(one.id for one in trust.heard if one.noticed)
    times = [one.without_writes or 0.0 for one in found] + [one.limit or 0.0 for one in found]
    flaky_before = Counter(title for one in past for title in one.flaky)
    return {
        "broken": failing["broken"],
        "judged_not": failing["error"] + failing["inconclusive"],
        "troubles": record.troubles,
        "lost": lost_line(record),
        "cost_sentences": costs.told(found, run.incidents) if found else [],
        "glance": glance(states, run, past, since),
        "costs": found,
        "most_costs": MOST_COSTS,
        "telling": trends.TELLING,
        "longest": max(times, default=0.0) * 1.04 or 1.0,
        "tiles": tiles,
        "style_of": lambda one: "kept" if one.measure.within else words.get(one.figure.promise, "broken"),
        "not_measured": costs.not_measured(tiles),
        "counts": counted(states),
        "meanings": MEANINGS,
        "styles": STYLES,
        "capabilities": by_capability(states),
        "proofs": noticed,
        "past": past,
        "row_of_runs": trends.row_of_runs(run, past),
        "newly_broken": [id for id, one in since.items() if one.newly or one.runs == 1],
        "still_broken": [id for id, one in since.items() if one.runs > 1],
        "fixed": trends.fixed(run, past),
        "slower": trends.slower(run, past),
        "trends": trends.trends(run, past, tiles),
        "confidence": list(confidence(trust, trust_at, states, sabotages)),
        "flaky": [(one.scenario, record.earlier[one.scenario.key]) for one in record.flaky],
        "flaky_before": flaky_before.most_common(5),
        "limits": record.known_limits,
        "not_tested": not_tested(states, record),
        "required": {one.scenario.promise: True for one in record.required_and_missing},
        "pictures": _worst_first(pictures, record)[:MOST_PICTURES],
        "run_picture": run_timeline.picture(record),
        "figures": run.figures,
        "facts": record.facts,
    }


@dataclass(frozen=True)
class Fact:
    """What is read at a glance."""

    words: str
    value: str
    note: str
    style: str = ""


def glance(
    states: Sequence[PromiseState], run: PastRun, past: Sequence[PastRun], since: Mapping[str, trends.Since]
) -> list[Fact]:
    """The answers to the first questions, in figures."""
    untested = sum(not one.judged for one in states)
    return [
        _downtime(run),
        _loss(run),
        _speed(run, past),
        _news(past, since),
        Fact(
            "Promises not tested", f"{untested} of {len(states)}", "why: see below" if untested else "all were tested"
        ),
    ]


def _downtime(run: PastRun) -> Fact:
    words = "Longest time without writes"
    worst = costs.worst_unplanned(run.incidents)
    if worst is None or worst.without_writes is None:
        return Fact(words, "not tried", "no fault while clients were writing", "none")
    exceeded = worst.limit is not None and worst.without_writes >= worst.limit
    allowed = f"; limit: {worst.limit:g} s" if worst.limit is not None else ""
    style = "broken" if exceeded else "kept"
    return Fact(words, f"{worst.without_writes:.1f} s", f"when {worst.kind}{allowed}", style)


def _loss(run: PastRun) -> Fact:
    words = "Acknowledged writes lost"
    checked = [one for one in run.incidents if one.lost is not None]
    if not checked:
        return Fact(words, "not checked", "no ledger was read back after a fault", "none")
    lost = sum(one.lost or 0 for one in checked)
    number = sum(one.acknowledged or 0 for one in checked)
    return Fact(
        words, f"{lost:,}", f"of {number:,}, in {_counted(len(checked), 'fault')}", "broken" if lost else "kept"
    )


def _speed(run: PastRun, past: Sequence[PastRun]) -> Fact:
    limited = [one for one in run.figures if one.measure.limit is not None]
    within = sum(one.measure.within for one in limited)
    slow = trends.slower(run, past)
    note = "newly slow: " + (", ".join(dict.fromkeys(one.promise for one, _ in slow)) or "nothing")
    if len(past) < trends.TELLING:
        note = f"{trends.TELLING} earlier runs are needed to see a slowdown"
    style = "kept" if within == len(limited) and not slow else "broken"
    if not limited:
        return Fact("Figures within their limits", "none measured", note, "none")
    return Fact("Figures within their limits", f"{within} of {len(limited)}", note, style)


def _news(past: Sequence[PastRun], since: Mapping[str, trends.Since]) -> Fact:
    if not past:
        return Fact("Newly broken", "unknown", "there is no earlier run of this target", "none")
    new = [id for id, one in since.items() if one.runs == 1]
    old = len(since) - len(new)
    note = f"compared with {_counted(len(past), 'earlier run')}" + (f"; broken before, too: {old}" if old else "")
    value = ", ".join(new) if len(new) <= 2 else _counted(len(new), "promise")
    return Fact("Newly broken", value or "nothing", note, "broken" if new else "kept")


def confidence(
    trust: Trust, at: float, states: Sequence[PromiseState], sabotages: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """How sure one can be that a green report means something, in sentences."""
    covered = [one for one in states if sabotages.get(one.promise.id)]
    if trust.proofs:
        whole = sum(one.noticed for one in trust.proofs)
        yield (
            f"On {trends.day(at)} the cluster was broken on purpose in {_counted(len(trust.proofs), 'way')}: the "
            f"scenarios noticed {whole} of {len(trust.proofs)}, with {_counted(len(trust.alarms), 'false alarm')} in "
            f"{_counted(len(trust.healthy), 'healthy run')}."
        )
        if missed := [one.sabotage for one in trust.proofs if not one.noticed]:
            yield f"Not noticed: {', '.join(missed)}."
    elif sabotages:
        yield "Nobody has checked here yet whether the scenarios notice a broken cluster: ./accept prove does that."
    if sabotages:
        ways = len({words for those in sabotages.values() for words in those})
        yield f"{len(covered)} of {len(states)} promises have a sabotage that breaks them on purpose ({ways} in all)."


def _worst_first(pictures: Sequence[Picture], record: RunRecord) -> list[Picture]:
    """Those of scenarios that failed, then the longest time without writes first."""
    results = {key[:KEY]: result for key, result in record.by_key.items()}

    def place(one: Picture) -> tuple[bool, float]:
        result = results.get(one.scenario)
        incident = result.incident if result else None
        return not (result and result.verdict.failed), -((incident and incident.without_writes) or 0.0)

    return sorted(pictures, key=place)


def _details(states: Sequence[PromiseState], counts: Mapping[str, int]) -> str:
    judged = counts["kept"] + counts["broken"]
    others = [
        f"{counts[word]} {word}" for word in MEANINGS if word not in ("kept", "broken", NOT_SELECTED) and counts[word]
    ]
    share = f" ({100 * counts['kept'] / judged:.0f} %)" if judged else ""
    parts = [f"{counts['kept']} of {judged} tested promises kept{share}", *others]
    if counts[NOT_SELECTED]:
        parts.append(f"{counts[NOT_SELECTED]} of the {len(states)} in the list were not part of this run")
    return "; ".join(parts) + "."


def _failing(state: PromiseState, since: Mapping[str, trends.Since]) -> Failing:
    known = since.get(state.promise.id)
    told = str(known) if known else ""
    first = state.results[0].scenario if state.results else state.scenarios[0] if state.scenarios else None
    return Failing(state, told[:1].upper() + told[1:], first.key[:KEY] if first else "")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
