"""Several runs as one: whose verdict counts, what is said of runs that are missing or torn."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from booting import boots
from journals import LAG, READS, WRITES
from program import Program, copy

from support.reporting import merging
from support.reporting.journal import INTERRUPTED, Journal, RunRecord, exit_status, read
from support.reporting.past import run_of
from support.reporting.scenario import ScenarioResult, Verdict
from support.reporting.tally import tally

PASSED = ScenarioResult(WRITES, Verdict.PASSED, seconds=2, measures=(LAG,))
BROKEN = ScenarioResult(WRITES, Verdict.BROKEN, "3 writes lost", seconds=3)
LACKING = ScenarioResult(READS, Verdict.SKIPPED, "redis is not there")


def leave(
    folder: Path, *results: ScenarioResult, facts: Mapping[str, str] | None = None, required: tuple[str, ...] = ()
) -> Path:
    """What a run with these results leaves."""
    folder.mkdir(parents=True)
    journal = Journal(folder / "journal.jsonl")
    journal.begin([one.scenario for one in results], facts, required)
    for result in results:
        journal.started(result.scenario)
        journal.record(result)
        kept = {"historyId": result.scenario.key, "name": result.verdict, "start": 1, "status": "passed"}
        (folder / f"{result.scenario.key}-{folder.name}-result.json").write_text(json.dumps(kept))
    journal.end()
    return folder


def merge(*folders: Path) -> RunRecord:
    return merging.merged([merging.part_in(folder, folder.name) for folder in folders])


def verdicts(record: RunRecord) -> dict[str, Verdict]:
    return {result.scenario.promise: result.verdict for result in record.results}


def test_runs_of_different_scenarios_add_up(tmp_path: Path) -> None:
    one = leave(tmp_path / "one", PASSED, facts={"PostgreSQL": "16", "Seed": "1"})
    two = leave(tmp_path / "two", LACKING, facts={"PostgreSQL": "16", "Seed": "2"})
    record = merge(one, two)
    assert verdicts(record) == {"FO-02": Verdict.PASSED, "PF-01": Verdict.SKIPPED}
    assert record.facts == {"Runs": "one, two", "PostgreSQL": "16", "Seed": "1 (one); 2 (two)"}
    assert record.began == read(one / "journal.jsonl").began
    assert record.ended == read(two / "journal.jsonl").ended
    assert exit_status(record) == 0


@pytest.mark.parametrize("turned", [False, True])
def test_what_a_run_did_not_reach_did_not_begin_because_another_run_began_it(tmp_path: Path, turned: bool) -> None:
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    journal = Journal(stopped / "journal.jsonl")
    journal.begin([WRITES])
    journal.end(interrupted=True)
    folders = [stopped, leave(tmp_path / "whole", PASSED)]
    record = merge(*(reversed(folders) if turned else folders))
    assert record.verdict_on(WRITES.key) is Verdict.NOT_REACHED


@pytest.mark.parametrize("turned", [False, True])
def test_what_one_target_has_is_there(tmp_path: Path, turned: bool) -> None:
    folders = []
    for name, why in {"with": "", "without": "no Redis"}.items():
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        journal = Journal(folders[-1] / "journal.jsonl")
        journal.begin([WRITES], capabilities={"redis": why, "citus": "none"})
        journal.end()
    assert merge(*(reversed(folders) if turned else folders)).capabilities == {"redis": "", "citus": "none"}


@pytest.mark.parametrize("turned", [False, True])
def test_the_worst_end_counts_and_the_others_are_told(tmp_path: Path, turned: bool) -> None:
    folders = [leave(tmp_path / "one", PASSED), leave(tmp_path / "two", BROKEN)]
    record = merge(*(reversed(folders) if turned else folders))
    (result,) = record.results
    assert (result.verdict, result.reason) == (Verdict.BROKEN, "3 writes lost (in two; passed in one)")
    assert exit_status(record) == 1


@pytest.mark.parametrize("turned", [False, True])
def test_what_any_run_saw_broken_as_well_is_broken(tmp_path: Path, turned: bool) -> None:
    """Each saw the same scenario broken, and one of them two writers meanwhile."""
    split = ScenarioResult(replace(WRITES, name="Split", tags=("id.SB-01",)), Verdict.PASSED)
    stale = ScenarioResult(replace(WRITES, name="Stale", tags=("id.RC-01",)), Verdict.PASSED)
    found = replace(BROKEN, final=True)
    both = replace(found, reason="SB-01: two writers", also_broken=("SB-01",), known_limits=("lost if two fail",))
    third = replace(found, reason="stale", also_broken=("RC-01",))
    folders = [leave(tmp_path / "one", both, split, stale), leave(tmp_path / "two", found, split, stale)]
    record = merge(*(reversed(folders) if turned else folders))
    (result,) = record.failing
    assert (result.reason, result.also_broken) == ("SB-01: two writers", ("SB-01",)), "that run has the evidence"
    (suite,) = tally(record)
    assert suite.promises == {"FO-02": Verdict.BROKEN, "SB-01": Verdict.BROKEN, "RC-01": Verdict.PASSED}
    record = merge(*folders, leave(tmp_path / "three", third, split, stale))
    (result,) = record.failing
    assert result.reason == "stale (in three; SB-01 also broken in one)"
    assert (set(result.also_broken), result.known_limits) == ({"RC-01", "SB-01"}, ("lost if two fail",))
    assert set(run_of(record).wrong) == {"FO-02", "SB-01", "RC-01"}


@pytest.mark.parametrize(("required", "verdict"), [((), Verdict.PASSED), (("id.FO-02",), Verdict.SKIPPED)])
def test_a_target_that_lacks_something_says_nothing_unless_it_is_required(
    tmp_path: Path, required: tuple[str, ...], verdict: Verdict
) -> None:
    lacking = replace(PASSED, verdict=Verdict.SKIPPED, reason="no patroni")
    record = merge(leave(tmp_path / "one", PASSED), leave(tmp_path / "two", lacking, required=required))
    assert verdicts(record) == {"FO-02": verdict}
    assert exit_status(record) == (1 if required else 0)


def test_what_was_stopped_elsewhere_has_not_passed_here(tmp_path: Path) -> None:
    one, two = leave(tmp_path / "one", PASSED), leave(tmp_path / "two", BROKEN)
    torn = [line for line in (two / "journal.jsonl").read_text().splitlines() if '"result"' not in line][:-1]
    (two / "journal.jsonl").write_text("\n".join(torn) + '\n{"event": "resu')
    record = merge(one, two)
    assert record.without_verdict == (WRITES,)
    assert [one.message for one in record.troubles] == ["two: it was stopped; 1 of 1 scenario without a verdict"]
    assert exit_status(record) == INTERRUPTED


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "it has no journal, so nothing was judged"),
        ("", "its journal names no scenario, so nothing was judged"),
        ('{"event": "begin", "at": 1}\n', "its journal cannot be read, so nothing was judged"),
        ("[1]\n", "its journal cannot be read, so nothing was judged"),
    ],
)
def test_a_run_that_is_missing_or_torn_was_not_judged(tmp_path: Path, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "journal.jsonl").write_text(content)
    record = merge(leave(tmp_path / "one", PASSED), tmp_path / "two")
    (trouble,) = record.troubles
    assert trouble.message.startswith(f"two: {why}")
    assert exit_status(record) == 1


def test_the_results_of_an_earlier_run_are_not_taken_for_those_of_one_that_left_none(tmp_path: Path) -> None:
    later = leave(tmp_path / "two" / "allure-results", BROKEN)
    (later / merging.SUPERSEDED).touch()
    record = merge(leave(tmp_path / "one", PASSED), tmp_path / "two")
    assert verdicts(record) == {"FO-02": Verdict.PASSED}
    (trouble,) = record.troubles
    assert trouble.message.startswith("two: its last run left no results, so nothing was judged")
    assert exit_status(record) == 1


def test_what_one_run_required_is_not_required_of_the_others(tmp_path: Path) -> None:
    cached = replace(READS, name="Cached", tags=("redis",))
    lacking, passed = replace(LACKING, scenario=replace(READS, tags=("redis",))), ScenarioResult(cached, Verdict.PASSED)
    demanding = leave(tmp_path / "demanding", passed, required=("redis",))
    assert exit_status(merge(demanding, leave(tmp_path / "other", lacking))) == 0
    assert exit_status(merge(demanding, leave(tmp_path / "missing", lacking, required=("redis",)))) == 1


def test_what_is_written_of_a_merged_run_is_what_is_read(tmp_path: Path) -> None:
    first = ScenarioResult(READS, Verdict.ERROR, "no route")
    again = Journal(leave(tmp_path / "two", first) / "journal.jsonl")
    again.rerun([first])
    again.record(ScenarioResult(READS, Verdict.PASSED))
    record = merge(leave(tmp_path / "one", BROKEN), tmp_path / "two", tmp_path / "three")
    merging.write(record, tmp_path / "merged.jsonl")
    assert record.flaky
    assert read(tmp_path / "merged.jsonl") == record


def test_allure_gets_the_result_that_counts_and_all_attachments(tmp_path: Path) -> None:
    one, two = leave(tmp_path / "one" / "allure-results", BROKEN), leave(tmp_path / "two", PASSED, LACKING)
    (one / "1-attachment.txt").write_text("a note")
    (two / "torn-result.json").write_text('{"historyId": ')
    parts = [merging.part_in(tmp_path / "one", "one"), merging.part_in(two, "two")]
    merging.collect(parts, tmp_path / "all")
    kept = {json.loads(path.read_text())["name"] for path in (tmp_path / "all").glob("*-result.json")}
    assert kept == {"broken", "skipped"}
    assert (tmp_path / "all" / "1-attachment.txt").read_text() == "a note"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


def test_the_program_reports_on_runs_of_other_jobs(program: Program) -> None:
    project = program.project
    leave(project / "runs" / "one" / "allure-results", PASSED)
    leave(project / "runs" / "two", LACKING)
    ended = program.run("report", "runs/one", "runs/two", "--summary", "summary.md")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 1 skipped"), str(ended)
    assert "| **all** | **2** | **1** |" in (project / "summary.md").read_text()
    assert len(list((project / "allure-results").glob("*-result.json"))) == 2
    history = (project / ".accept" / "history.jsonl").read_text().splitlines()
    ended = program.run("report", "runs/one", "runs/three")
    assert (ended.status, ended.last_line) == (1, "1 passed, 0 failed, 0 skipped"), str(ended)
    assert "runs/three: it has no journal, so nothing was judged" in ended.out
    assert len((project / ".accept" / "history.jsonl").read_text().splitlines()) == len(history) + 1
    again = program.run("report")
    assert (again.status, again.last_line) == (ended.status, ended.last_line), "it is the last run now"
    for name in ("dashboard.html", "index.html", "junit.xml"):
        assert (project / "allure-report" / name).exists(), str(ended)


def test_a_summary_that_cannot_be_written_changes_no_verdict(program: Program) -> None:
    leave(program.project / "more", PASSED)
    ended = program.run("report", "more", "--summary", "/proc/none")
    assert ended.status == 0, str(ended)
    assert ended.complaints == ["accept: the summary /proc/none cannot be written: No such file or directory"]


@pytest.fixture
@boots
def where_nothing_can_be_kept() -> tuple[str, ...]:
    """The words that start a program for which the folder of results is read-only, as if it were another user's."""
    words = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this kernel lets no user mount a folder")
    there = "allure-results"
    frozen = f'mount --bind {there} {there} && mount -o remount,bind,ro {there} && exec "$@"'
    return (*words, "sh", "-c", frozen, "sh")


def test_a_run_that_cannot_be_kept_is_not_taken_for_the_one_before(
    tmp_path: Path, where_nothing_can_be_kept: tuple[str, ...]
) -> None:
    program, summary = copy(tmp_path), tmp_path / "summary.md"
    leave(tmp_path / "good", PASSED)
    leave(tmp_path / "bad", BROKEN)
    assert program.run("report", "good").status == 0
    program.prefix = where_nothing_can_be_kept
    ended = program.run("report", "bad", "--summary", "summary.md")
    assert ended.status == 1, str(ended)
    assert "the results cannot be kept in allure-results" in ended.err
    assert "- **broken**: " in summary.read_text(), "it is about the run that was just reported"
    program.prefix = ()
    again = program.run("report", "--summary", "summary.md")
    assert again.status == 2, str(again)
    assert "what is there is of an earlier one" in again.err
    assert program.run("report", "bad").status == 1
    assert program.run("report").status == 1, "now it is there"
