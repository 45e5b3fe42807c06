"""Verdicts on scenarios, counted as promises: how many of a suite are kept, broken, not judged.

A promise is kept when each of its scenarios passed, and broken when one of them is.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from support.reporting.journal import RunRecord
from support.reporting.scenario import EPICS, Scenario, ScenarioResult, Verdict

WORST_FIRST: Sequence[Verdict] = (
    Verdict.BROKEN,
    Verdict.ERROR,
    Verdict.INCONCLUSIVE,
    Verdict.INTERRUPTED,
    Verdict.NOT_REACHED,
    Verdict.SKIPPED,
    Verdict.PASSED,
)
"""If a promise has several scenarios, the worst verdict counts."""

_FIGURE = re.compile(r"(?<![\w.-])(?<!group )\d[\d.,]*")
"""No part of a name, and not the number of a group."""

UNFINISHED = (Verdict.INTERRUPTED, Verdict.NOT_REACHED)
NOT_JUDGED: Sequence[tuple[str, Sequence[Verdict]]] = (
    ("errors", (Verdict.ERROR, Verdict.INCONCLUSIVE)),
    ("skipped", (Verdict.SKIPPED,)),
    ("unfinished", UNFINISHED),
)
"""Why a promise is neither kept nor broken."""
COLUMNS: Sequence[tuple[str, Sequence[Verdict]]] = (
    ("kept", (Verdict.PASSED,)),
    ("broken", (Verdict.BROKEN,)),
    *NOT_JUDGED,
)
"""What a table of promises counts: its headings, and the verdicts behind each."""


@dataclass
class SuiteTally:
    """The verdicts on the promises of one suite, and the seconds that its scenarios took."""

    name: str
    promises: dict[str, Verdict] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def promised(self) -> int:
        return len(self.promises)

    def count(self, *verdicts: Verdict) -> int:
        return sum(verdict in verdicts for verdict in self.promises.values())


def tally(record: RunRecord) -> list[SuiteTally]:
    """Suite by suite, in the order of the report."""
    suites: dict[str, SuiteTally] = {}
    for scenario in in_order(record.selected):
        suite = suites.setdefault(scenario.suite, SuiteTally(scenario.epic))
        result = record.by_key.get(scenario.key)
        suite.seconds += result.seconds if result else 0.0
        verdict = record.verdict_on(scenario.key)
        known = suite.promises.get(scenario.promise, verdict)
        suite.promises[scenario.promise] = min(known, verdict, key=WORST_FIRST.index)
    for result in record.results:
        for promise in result.also_broken:
            # one that was not selected counts as well, where it was seen
            having = [suite for suite in suites.values() if promise in suite.promises]
            for suite in having or [suites.setdefault(result.scenario.suite, SuiteTally(result.scenario.epic))]:
                suite.promises[promise] = Verdict.BROKEN
    return list(suites.values())


def verdicts_on_promises(record: RunRecord) -> dict[str, Verdict]:
    """The verdict on each promise, also on one that only a scenario of another promise saw broken."""
    found: dict[str, Verdict] = {}
    for suite in tally(record):
        for promise, verdict in suite.promises.items():
            found[promise] = min(found.get(promise, verdict), verdict, key=WORST_FIRST.index)
    return found


def in_order(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """The scenarios grouped by suite, the suites in the order of the report."""
    return sorted(scenarios, key=_place)


def columns_of(suites: Iterable[SuiteTally]) -> list[tuple[str, Sequence[Verdict]]]:
    """The columns of a table of promises: "unfinished" only where a promise is."""
    stopped = any(suite.count(*UNFINISHED) for suite in suites)
    return [(title, verdicts) for title, verdicts in COLUMNS if stopped or verdicts != UNFINISHED]


def counts_line(record: RunRecord) -> str:
    """The scenarios counted in one line, for CI. Those that a stopped run did not finish have not failed."""
    passed, skipped = len(record.of(Verdict.PASSED)), len(record.of(Verdict.SKIPPED))
    unfinished = [record.verdict_on(one.key) for one in record.without_verdict]
    more = [f", {unfinished.count(verdict)} {verdict}" for verdict in UNFINISHED if verdict in unfinished]
    return f"{passed} passed, {len(record.failing)} failed, {skipped} skipped{''.join(more)}"


def unfinished(record: RunRecord) -> dict[tuple[Verdict, str], list[Scenario]]:
    """The scenarios that were interrupted and those that were not reached, by verdict and reason."""
    found: dict[tuple[Verdict, str], list[Scenario]] = defaultdict(list)
    for verdict in UNFINISHED:
        for one in record.without_verdict:
            if record.verdict_on(one.key) is verdict:
                found[verdict, why_unfinished(record, one)].append(one)
    return found


def why_unfinished(record: RunRecord, scenario: Scenario) -> str:
    """Why that scenario has no result."""
    if why := record.left_out.get(scenario.key):
        return why
    return "the run was stopped" if record.interrupted else "the run ended without a result for it"


def lost_line(record: RunRecord) -> str:
    """What the target had in its last run and lacks now, with the reasons; empty if nothing is lost."""
    return "; ".join(f"{name}: {record.capabilities.get(name, '')}" for name in record.lost)


def failures(record: RunRecord) -> list[ScenarioResult]:
    """The failures, worst first."""
    return sorted(record.failing, key=lambda one: WORST_FIRST.index(one.verdict))


def promises_of(scenarios: Iterable[Scenario]) -> str:
    """The ids of the promises of these scenarios, each once."""
    return ", ".join(dict.fromkeys(scenario.promise for scenario in scenarios))


def sentences_of(scenarios: Iterable[Scenario]) -> list[tuple[str, str]]:
    """Id and sentence of the promises of these scenarios, each once; only those in the list of promises."""
    return list({one.promise: (one.promise, one.sentence) for one in scenarios if one.sentence}.values())


def _place(scenario: Scenario) -> tuple[int, str]:
    known = list(EPICS)
    return known.index(scenario.suite) if scenario.suite in known else len(known), scenario.suite


def known_limits(record: RunRecord) -> list[str]:
    """What the cluster does not promise, each once: those that differ in their figures alone are told as one."""
    found: dict[str, list[str]] = {}
    for words in record.known_limits:
        found.setdefault(_FIGURE.sub("0", words), []).append(words)
    return [
        those[0] if len(those) == 1 else f"{those[0]} (seen {len(those)} times, with other figures)"
        for those in found.values()
    ]
