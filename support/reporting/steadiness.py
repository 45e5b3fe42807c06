"""The same scenarios, run again and again: whose verdict changed from one run to another?"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from support.reporting.journal import RunRecord
from support.reporting.scenario import Scenario, Verdict
from support.vocabulary import counted


@dataclass(frozen=True)
class Ended:
    """How a scenario ended in one of the runs, numbered from 1."""

    run: int
    verdict: Verdict
    evidence: str
    """Why it did not pass, and what it measured."""

    def __str__(self) -> str:
        return f"run {self.run}: {self.verdict}" + (f": {self.evidence}" if self.evidence else "")


@dataclass(frozen=True)
class VerdictChange:
    """A scenario that did not always end in the same way."""

    scenario: Scenario
    ends: tuple[Ended, ...]
    """The first run with each of its verdicts."""


def changes(records: Sequence[RunRecord]) -> tuple[VerdictChange, ...]:
    """The scenarios on which the runs differ. A stopped run does not count for scenarios that it did not finish."""
    ends: dict[str, dict[Verdict, Ended]] = {}
    scenarios: dict[str, Scenario] = {}
    for number, record in enumerate(records, 1):
        for scenario in record.selected:
            scenarios[scenario.key] = scenario
            result = record.by_key.get(scenario.key)
            evidence = "; ".join([result.reason_in_a_line, *map(str, result.measures)]).strip("; ") if result else ""
            verdict = record.verdict_on(scenario.key)
            if result is None and (record.interrupted or scenario.key in record.left_out):
                continue
            ends.setdefault(scenario.key, {}).setdefault(verdict, Ended(number, verdict, evidence))
    return tuple(VerdictChange(scenarios[key], tuple(found.values())) for key, found in ends.items() if len(found) > 1)


def show(records: Sequence[RunRecord], console: Console) -> bool:
    """Say whether all runs agree, and list what does not with the evidence of each side."""
    found = changes(records)
    for change in found:
        console.print(f"changed: {' '.join(change.scenario.ids)} {change.scenario.name}", markup=False, style="red")
        for end in change.ends:
            console.print(f"    {end}", markup=False, soft_wrap=True)
    count = len({scenario.key for record in records for scenario in record.selected})
    words = f"{len(found)} changed their verdict" if found else "none changed its verdict"
    console.print(
        f"{counted(len(records), 'run')} of {counted(count, 'scenario')}: {words}",
        markup=False,
        style="red" if found else "green",
    )
    return not found
