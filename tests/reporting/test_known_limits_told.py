"""Where known limits are told: in the journal and in all that is made of it."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from support.reporting import merging
from support.reporting.allure_results import write_facts
from support.reporting.journal import Journal, RunRecord, read
from support.reporting.metrics import exposition
from support.reporting.pages.site import DASHBOARD, Knowledge, write_pages
from support.reporting.scenario import Scenario, ScenarioResult, Verdict
from support.reporting.summary import markdown
from support.reporting.tally import known_limits
from support.reporting.terminal import show

LOSS, ALONE = "1,024 bytes *can* be lost", "there is a single member"
ONE = ScenarioResult(Scenario("features/failover/a.feature", "A", "A"), Verdict.PASSED)


def left(folder: Path, *limits: str) -> RunRecord:
    folder.mkdir()
    journal = Journal(folder / "journal.jsonl")
    journal.begin([ONE.scenario], known_limits=limits)
    journal.record(ONE)
    journal.end()
    return read(journal.path)


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return left(tmp_path / "one", LOSS, ALONE)


def test_in_the_journal(record: RunRecord, tmp_path: Path) -> None:
    assert record.known_limits == (LOSS, ALONE)
    assert left(tmp_path / "without").known_limits == ()


def test_what_a_scenario_saw_of_a_limit_comes_after_what_is_configured(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin([ONE.scenario], known_limits=[LOSS])
    journal.record(replace(ONE, known_limits=("half of a transaction was seen", LOSS)))
    journal.end()
    assert read(journal.path).known_limits == (LOSS, "half of a transaction was seen")


def test_in_that_of_several_runs_each_once(record: RunRecord, tmp_path: Path) -> None:
    left(tmp_path / "two", LOSS, "another")
    merged = merging.merged([merging.part_in(tmp_path / name, name) for name in ("one", "two")])
    merging.write(merged, tmp_path / "both.jsonl")
    assert read(tmp_path / "both.jsonl").known_limits == (LOSS, ALONE, "another")


def test_those_that_differ_in_figures_alone_are_told_as_one(tmp_path: Path) -> None:
    """Several scenarios see the same limit, each with figures of its own."""
    seen = ["55 changes came again", "pg1 is alone", "35 changes came again", "pg2 is alone"]
    seen += ["in group 1 nothing is promised", "in group 2 nothing is promised"]
    record = left(tmp_path / "one", *seen)
    told = known_limits(record)
    assert told == ["55 changes came again (seen 2 times, with other figures)", seen[1], *seen[3:]]
    assert markdown(record).count("came again") == 1
    write_pages(record, tmp_path, tmp_path / "report", "Acceptance", Knowledge())
    assert (tmp_path / "report" / DASHBOARD).read_text().count("came again") == 1


def test_on_the_terminal(record: RunRecord) -> None:
    console = Console(file=io.StringIO(), width=80)
    show(record, console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"known limits of this cluster: \n    - {LOSS}" in told
    assert f"- {ALONE}" in told


def test_in_markdown(record: RunRecord) -> None:
    assert "- **known limit**: 1,024 bytes \\*can\\* be lost\n- **known limit**: there is" in markdown(record)


def test_on_the_dashboard_and_among_allures_facts(record: RunRecord, tmp_path: Path) -> None:
    write_pages(record, tmp_path, tmp_path / "report", "Acceptance", Knowledge())
    assert f"<li>{LOSS}</li>" in (tmp_path / "report" / DASHBOARD).read_text()
    write_facts(tmp_path, record)
    assert f"Known\\ limit\\ 2 = {ALONE}\n" in (tmp_path / "environment.properties").read_text()


def test_among_the_metrics(record: RunRecord) -> None:
    assert b"accept_run_known_limits{" in (text := exposition(record, 0, "nightly"))
    assert [line.split()[-1] for line in text.splitlines() if line.startswith(b"accept_run_known_limits{")] == [b"2.0"]
