"""Runs that never were, written down as real ones are."""

from pathlib import Path

from support.reporting.journal import Journal, RunRecord, read
from support.reporting.scenario import Measure, Scenario, ScenarioResult

WRITES = Scenario("features/failover/crash.feature", "Crashes", "Writes \\ go on\n", tags=("id.FO-02", "blocker"))
READS = Scenario("features/cache/reads.feature", "Reads", 'Reads are "fast"', tags=("id.PF-01",))
LAG = Measure("replication lag", 250.0, "ms", 500.0)


def record_of(path: Path, *ends: ScenarioResult | Scenario) -> RunRecord:
    """A run with these results, its journal in that folder; of a mere scenario there is no verdict."""
    path.mkdir(parents=True, exist_ok=True)
    journal = Journal(path / "journal.jsonl")
    scenarios = [one if isinstance(one, Scenario) else one.scenario for one in ends]
    journal.begin(scenarios, {"Target": "embedded cluster"}, capabilities={"redis": ""})
    for one in ends:
        if isinstance(one, ScenarioResult):
            journal.record(one)
    journal.end()
    return read(journal.path)
