"""`accept run` whose scenarios could not begin, though its cluster is there: the report says when and why."""

from pathlib import Path

import pytest
from database_runs import junit_of
from program import TRUE, Program, copy, target

from support import sql
from support.cli import report
from support.cli.cluster_under_test import TargetCluster, _run_scenarios
from support.cli.run_options import RunOptions
from support.cli.suites import select
from support.errors import ProcessFailed
from support.reporting.journal import Journal, exit_status, read
from support.run import Run, begin_run, begun_at
from support.settings import Settings
from support.target.discovery import user_cluster
from support.target.topology import Address, Login, Topology

NOWHERE = Topology("nowhere", Login("u", "p"), Address("127.0.0.1", 1))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """In a project of its own, which is the working directory."""
    made = copy(tmp_path)
    made.write_features({"cluster/a.feature": TRUE})
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def unwritable(program: Program) -> None:
    """Behave cannot note what the target has, which comes before the journal begins."""
    (program.project / ".accept" / "capabilities.json").mkdir(parents=True)


@pytest.mark.usefixtures("unwritable")
def test_a_run_that_behave_cannot_open_says_what_did_not_run_and_why(program: Program, postgres: sql.Endpoint) -> None:
    ended = program.run(**target(postgres))
    assert (ended.status, ended.last_line) == (3, "0 passed, 0 failed, 0 skipped, 1 not reached"), str(ended)
    record = read(program.project / "allure-results" / "journal.jsonl")
    assert [one.name for one in record.selected] == ["A true claim"]
    (trouble,) = record.troubles
    assert "capabilities.json" in trouble.message
    assert "lost_since_last_run" in trouble.trace
    assert junit_of(program).attrib["errors"] == "2", "the scenario, and the run"
    dashboard = (program.project / "allure-report" / "dashboard.html").read_text()
    assert "capabilities.json" in dashboard
    assert "01 January 1970" not in dashboard
    assert not (program.project / ".accept" / "history-runs.jsonl").exists(), "no later run is compared with it"


@pytest.mark.usefixtures("unwritable")
def test_another_job_does_what_one_leaves_that_behave_cannot_open(program: Program, postgres: sql.Endpoint) -> None:
    settings = Settings.load({name.lower(): value for name, value in target(postgres).items()})
    whole = begin_run(required=["redis"])
    share = whole.share(whole.directory / "work-0", None)
    tested = TargetCluster(user_cluster.discover(settings), outlives=True)
    with pytest.raises(ProcessFailed, match=r"behave could not begin, with status 1; another job does what it left"):
        _run_scenarios(RunOptions(select(()), settings), share, tested)
    record = read(whole.journal)
    assert [one.name for one in record.selected] == ["A true claim"]
    assert record.required == {"redis"}, "the journal of the other job goes by the first entry"
    assert not record.interrupted


@pytest.mark.usefixtures("program")
def test_a_behave_that_cannot_even_tell_why_is_a_trouble() -> None:
    """It refuses its settings, which say where the journal is."""
    run = begin_run()
    options = RunOptions(select(()), Settings.load({}), given={"accept_members": 99})
    assert _run_scenarios(options, run, TargetCluster(NOWHERE))
    (trouble,) = read(run.journal).troubles
    assert trouble.message == "behave could not begin, and ended with status 1; its messages are above"
    assert _began(run) == (begun_at(run.id), False, 3)


def _began(run: Run) -> tuple[float, bool, int]:
    """When it began, as its report tells; whether it was interrupted, and its exit status."""
    report._require_beginning(run)
    record = read(run.journal)
    return record.began, record.interrupted, exit_status(record)


def test_a_run_that_was_stopped_before_its_scenarios_is_dated_and_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = begin_run()
    assert _began(run) == (begun_at(run.id), True, 130)
    assert _began(run) == (begun_at(run.id), True, 130), "it has a beginning now"


def test_the_beginning_of_a_run_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = begin_run()
    Journal(run.journal).begin((), at=12.0)
    Journal(run.journal).end()
    assert _began(run) == (12.0, False, 3)
