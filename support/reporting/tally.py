"""Verdicts on scenarios, counted as promises: per suite what was promised, proved, broken, not proved.

It counts catalogue ids, not scenarios: a promise is proved when each of its scenarios is.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from support.reporting.journal import RunRecord
from support.reporting.scenario import EPICS, Scenario
from support.reporting.verdict import ScenarioResult, Verdict

End = Verdict | None
"""How a scenario or a promise ended; None is one without a verdict."""

GRAVEST_FIRST: Sequence[End] = (
    Verdict.BROKEN,
    Verdict.ERROR,
    Verdict.NOTHING_PROVED,
    None,
    Verdict.NOT_PROVED,
    Verdict.PROVED,
)
"""Several scenarios of one promise come to the gravest of their ends."""

COLUMNS: Sequence[tuple[str, Sequence[End]]] = (
    ("proved", (Verdict.PROVED,)),
    ("broken", (Verdict.BROKEN,)),
    ("errors", (Verdict.ERROR, Verdict.NOTHING_PROVED)),
    ("not proved", (Verdict.NOT_PROVED,)),
    ("not reached", (None,)),
)
"""What a table of promises counts: its headings, and the ends behind each."""


@dataclass
class SuiteTally:
    """What became of the promises of one suite, and the seconds that its scenarios took."""

    name: str
    promises: dict[str, End] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def promised(self) -> int:
        return len(self.promises)

    def count(self, *ends: End) -> int:
        return sum(end in ends for end in self.promises.values())


def tally(record: RunRecord) -> list[SuiteTally]:
    """Suite by suite, in the order of the report."""
    ended = {result.scenario.key: result for result in record.results}
    suites: dict[str, SuiteTally] = {}
    for scenario in in_order(record.selected):
        suite = suites.setdefault(scenario.suite, SuiteTally(scenario.epic))
        result = ended.get(scenario.key)
        suite.seconds += result.seconds if result else 0.0
        end = result.verdict if result else None
        known = suite.promises.get(scenario.promise, end)
        suite.promises[scenario.promise] = min(known, end, key=GRAVEST_FIRST.index)
    return list(suites.values())


def in_order(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """The scenarios of one suite beside each other, the suites in the order of the report."""
    return sorted(scenarios, key=_place)


def columns_of(suites: Iterable[SuiteTally]) -> list[tuple[str, Sequence[End]]]:
    """The columns that such a table needs: "not reached" only where something was not."""
    stopped = any(suite.count(None) for suite in suites)
    return [(title, ends) for title, ends in COLUMNS if stopped or None not in ends]


def counts_line(record: RunRecord) -> str:
    """The scenarios in one plain line, for CI."""
    failed = len(record.failing) + len(record.without_verdict)
    passed, skipped = len(record.of(Verdict.PROVED)), len(record.of(Verdict.NOT_PROVED))
    return f"{passed} passed, {failed} failed, {skipped} skipped"


def failures(record: RunRecord) -> list[ScenarioResult]:
    """What failed, the gravest first."""
    return sorted(record.failing, key=lambda one: GRAVEST_FIRST.index(one.verdict))


def by_reason(results: Iterable[ScenarioResult]) -> dict[str, list[ScenarioResult]]:
    """The results grouped by their reason, in one line."""
    groups: dict[str, list[ScenarioResult]] = defaultdict(list)
    for result in results:
        groups[result.reason_in_a_line].append(result)
    return groups


def promises_of(scenarios: Iterable[Scenario]) -> str:
    """The promises that these scenarios belong to, each once."""
    return ", ".join(dict.fromkeys(scenario.promise for scenario in scenarios))


def sentences_of(scenarios: Iterable[Scenario]) -> list[tuple[str, str]]:
    """What the promises say that these scenarios belong to, each once: id and sentence; without those not listed."""
    return list({one.promise: (one.promise, one.sentence) for one in scenarios if one.sentence}.values())


def _place(scenario: Scenario) -> tuple[int, str]:
    known = list(EPICS)
    return known.index(scenario.suite) if scenario.suite in known else len(known), scenario.suite
