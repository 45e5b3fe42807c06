"""`accept run` on one database: the report of a run that cannot begin, go on or keep its results, or was killed."""

import fcntl
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from database_runs import PAIR, await_scenario, junit_of, kill_in_a_scenario, pairs, require_gone
from program import FALSE, LONG, TRUE, Program, copy, feature, target

from support import sql
from support.reporting.journal import read
from support.waiting import NotYet, eventually

FIRST = feature("It ends at once", "it ends at once, but only the first time")
LASTING = """
from pathlib import Path
from behave import then
from support.waiting import pause

@then("it ends at once, but only the first time")
def ends_at_once(context):
    if Path("seen").exists():
        pause(60)
    Path("seen").touch()
"""


@pytest.fixture
def fresh(tmp_path: Path, postgres: sql.Endpoint) -> Program:
    """The program in a project of its own, pointed at the same database."""
    made = copy(tmp_path)
    made.variables = target(postgres)
    return made


@pytest.mark.parametrize("kind", ["link", "file"])
def test_wherever_the_results_are_kept_the_status_is_that_of_the_verdicts(fresh: Program, kind: str) -> None:
    """A mount (here: a link) cannot be removed, and a full disk accepts nothing."""
    fresh.write_features({"cluster/a.feature": FALSE})
    results, elsewhere = fresh.project / "allure-results", fresh.project / "elsewhere"
    if kind == "link":
        (elsewhere / "old").mkdir(parents=True)
        results.symlink_to(elsewhere)
    else:
        results.touch()
    ended = fresh.run()
    assert (ended.status, ended.last_line) == (1, "0 passed, 1 failed, 0 skipped"), str(ended)
    assert ("the results cannot be kept in allure-results" in ended.err) is (kind == "file"), str(ended)
    if kind == "link":
        assert len(read(elsewhere / "journal.jsonl").failing) == 1
        assert not (elsewhere / "old").exists()


def test_a_run_that_cannot_begin_leaves_nothing_of_the_run_before(fresh: Program) -> None:
    fresh.write_features({"cluster/a.feature": TRUE})
    assert fresh.run().status == 0
    assert junit_of(fresh).attrib["errors"] == "0"
    ended = fresh.run(RUVECTOR_PORT="1")
    assert ended.status == 3, str(ended)
    (case,) = junit_of(fresh).iter("testcase")
    assert "port 1 failed" in case.find("error").attrib["message"]
    dashboard = (fresh.project / "allure-report" / "dashboard.html").read_text()
    assert "Unknown: this run judged no promise." in dashboard
    assert "port 1 failed" in dashboard
    assert not (fresh.project / "allure-report" / "allure.html").exists()
    (trouble,) = read(fresh.project / "allure-results" / "journal.jsonl").troubles
    assert "port 1 failed" in trouble.message
    assert fresh.run("report").status == 3
    fresh.write_features({"cluster/a.feature": TRUE.replace("a sum", "no step")})
    assert fresh.run().status == 2
    assert not (fresh.project / "allure-report" / "junit.xml").exists()


def test_the_report_of_the_run_before_is_not_taken_for_that_of_a_killed_run(fresh: Program) -> None:
    report = fresh.project / "allure-report"
    fresh.write_features({"cluster/a.feature": TRUE})
    assert fresh.run().status == 0
    kill_in_a_scenario(fresh)
    for page in report.glob("*.*"):
        text = page.read_text()
        assert "No report yet: the run that began on " in text
        assert "keeps" not in text
    assert {one.name for one in report.glob("*.*")} == {"dashboard.html", "index.html", "on-call.html"}
    again = fresh.run("report")
    assert again.status == 0, str(again)
    assert "this run was not the last: a later one left no results" in again.err
    assert "Yes: the cluster keeps" in (report / "dashboard.html").read_text()


def test_the_results_of_the_run_before_are_not_merged_as_those_of_a_killed_run(fresh: Program) -> None:
    """A workspace that is kept between pipelines still has them."""
    fresh.write_features({"cluster/a.feature": TRUE})
    assert fresh.run().status == 0
    kill_in_a_scenario(fresh)
    shutil.copytree(fresh.project / "allure-results", fresh.project / "runs" / "job" / "allure-results")
    fresh.write_features({"cluster/a.feature": TRUE})
    assert fresh.run().status == 0
    compared = fresh.run("compare", "last", "runs/job")
    assert compared.status == 1, str(compared)
    assert "runs/job/allure-results: its last run left no results" in compared.err
    merged = fresh.run("report", ".")
    assert (merged.status, merged.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(merged)
    merged = fresh.run("report", "runs/job")
    assert merged.status == 3, str(merged)
    assert "runs/job: its last run left no results, so nothing was judged" in merged.out


def test_nor_after_a_command_line_that_selects_nothing_that_exists(fresh: Program) -> None:
    """That run has no report, and ends before it begins."""
    fresh.write_features({"cluster/a.feature": TRUE})
    assert fresh.run().status == 0
    assert fresh.run("--tags", "@no-such-tag").status == 2
    assert fresh.run("report", ".").status == 3


def test_nor_when_a_repetition_was_killed(fresh: Program) -> None:
    fresh.write_features({"cluster/a.feature": FIRST})
    (fresh.project / "steps" / "lasting_steps.py").write_text(LASTING)
    with fresh.started("run", "--repeat", "2") as running:
        family = await_scenario(running, "run 2 of 2")
        running.kill()
        running.wait()
        require_gone(family)
    merged = fresh.run("report", ".")
    assert merged.status == 3, str(merged)


def test_the_page_of_a_killed_run_tells_how_to_see_what_it_had_judged(fresh: Program) -> None:
    fresh.write_features({"cluster/a.feature": FALSE, "cluster/b.feature": LONG})
    (fresh.project / "allure-report").mkdir()
    (fresh.project / "allure-report" / "dashboard.html").touch()
    with fresh.started("run") as running:
        await_scenario(running, "A claim that takes long")
        running.kill()
        running.wait()
    (killed,) = (fresh.project / ".accept" / "runs").iterdir()
    page = (fresh.project / "allure-report" / "dashboard.html").read_text()
    assert "<code>./accept report .accept/runs/ID</code>" in page
    ended = fresh.run("report", f".accept/runs/{killed.name}")
    assert (ended.status, ended.last_line) == (1, "0 passed, 1 failed, 0 skipped, 1 interrupted"), str(ended)


def test_a_failure_that_cannot_be_reported_is_still_told(fresh: Program) -> None:
    """The runs on record cannot be read."""
    fresh.write_features({"cluster/a.feature": TRUE})
    (fresh.project / ".accept").mkdir()
    (fresh.project / ".accept" / "history-runs.jsonl").write_bytes(b"\xff\n")
    ended = fresh.run(RUVECTOR_PORT="1")
    assert ended.status == 3, str(ended)
    assert "no report: " in ended.complaints[0], str(ended)
    assert "port 1 failed" in ended.complaints[1], str(ended)


@pytest.fixture
def programs(fresh: Program) -> Path:
    """A folder that has the one program without which no scenario can be run; no other folder is searched."""
    folder = fresh.project / "programs"
    folder.mkdir()
    (folder / "setpriv").symlink_to(str(shutil.which("setpriv")))
    fresh.variables["PATH"] = str(folder)
    return folder


LOSING = """
from pathlib import Path
from behave import then
from support.errors import LimitExceeded

@then("a program is lost")
def lost(context):
    Path("programs/setpriv").unlink()

@then("it is late, and a program is lost")
def late_and_lost(context):
    lost(context)
    raise LimitExceeded("it took too long")
"""


LEAVING = """
from behave import then

@then("it ends, and nothing can be taken over")
def ends(context):
    (context.world.run.directory / "handed-over").mkdir()
    raise AssertionError("it is wrong")
"""


@pytest.mark.parametrize("option", ["--repeat=2", "--rerun"])
def test_a_run_that_cannot_go_on_at_once_leaves_nothing_of_the_run_before(
    fresh: Program, programs: Path, option: str, tmp_path: Path
) -> None:
    fresh.write_features({"cluster/a.feature": TRUE})
    assert fresh.run().status == 0
    (programs / "setpriv").unlink()
    ended = fresh.run(option, "--metrics", str(tmp_path / "accept.prom"))
    assert ended.status == 3, str(ended)
    (case,) = junit_of(fresh).iter("testcase")
    assert "setpriv" in case.find("error").attrib["message"]
    assert "Unknown: this run judged no promise." in (fresh.project / "allure-report" / "dashboard.html").read_text()
    assert "accept_run_exit_status" in (tmp_path / "accept.prom").read_text()


def test_a_rerun_that_cannot_begin_leaves_the_verdicts_before_it(fresh: Program, programs: Path) -> None:
    fresh.write_features(pairs("it is late, and a program is lost"))
    (fresh.project / "steps" / "losing_steps.py").write_text(LOSING)
    ended = fresh.run("--rerun")
    assert (ended.status, ended.last_line) == (1, "5 passed, 1 failed, 0 skipped"), str(ended)
    assert "the run cannot continue: [Errno 2]" in " ".join(ended.err.split()), str(ended)
    record = read(fresh.project / "allure-results" / "journal.jsonl")
    assert [one.reason for one in record.failing] == ["it took too long"]
    (trouble,) = record.troubles
    assert "setpriv" in trouble.message
    assert "Traceback" in trouble.trace
    assert junit_of(fresh).attrib["failures"] == "1"
    assert "setpriv" in (fresh.project / "allure-report" / "dashboard.html").read_text()


@pytest.mark.parametrize("repeat", ["1", "2"])
def test_a_failure_after_the_scenarios_hides_none_of_their_verdicts(fresh: Program, repeat: str) -> None:
    """What they leave to another cluster cannot be read: a folder has its name."""
    fresh.write_features(pairs("it ends, and nothing can be taken over"))
    (fresh.project / "steps" / "leaving_steps.py").write_text(LEAVING)
    ended = fresh.run("--repeat", repeat)
    assert ended.status == 1, str(ended)
    assert "5 passed, 1 failed, 0 skipped" in ended.out.splitlines(), str(ended)
    assert "the run cannot continue: [Errno 21]" in " ".join(ended.err.split()), str(ended)
    record = read(fresh.project / "allure-results" / "journal.jsonl")
    assert [one.reason for one in record.failing] == ["it is wrong"]
    (trouble,) = record.troubles
    assert "Is a directory" in trouble.message
    assert junit_of(fresh).attrib["failures"] == "1"


@pytest.mark.parametrize(("claim", "status"), [("one and one are 2", 3), ("one and one are 3", 1)])
def test_of_repeated_runs_one_that_cannot_begin_is_the_last(
    fresh: Program, programs: Path, claim: str, status: int
) -> None:
    """Its report stays, unless the run before was worse."""
    lost = PAIR.format(name="D", number=3, claim="a program is lost")
    fresh.write_features({**pairs(claim), "cluster/D.feature": lost})
    (fresh.project / "steps" / "losing_steps.py").write_text(LOSING)
    ended = fresh.run("--repeat", "3")
    assert ended.status == status, str(ended)
    assert ended.err.count("the run cannot continue") == 1, str(ended)
    record = read(fresh.project / "allure-results" / "journal.jsonl")
    assert (len(record.failing), len(record.troubles)) == ((0, 1) if status == 3 else (1, 0))
    dashboard = (fresh.project / "allure-report" / "dashboard.html").read_text()
    assert ("setpriv" in dashboard) is (status == 3)
    assert list(fresh.project.joinpath(".accept", "runs").iterdir()) == []


def test_runs_that_end_at_the_same_time_report_one_after_the_other(fresh: Program) -> None:
    fresh.write_features({"cluster/a.feature": TRUE})
    (fresh.project / ".accept").mkdir()
    with (fresh.project / ".accept" / "report.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with fresh.started("run") as running:
            eventually(_scenarios_are_over(fresh), within=60, subject="the scenarios have ended")
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(5)
            assert not (fresh.project / "allure-report" / "dashboard.html").exists()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert running.wait(60) == 0
    assert (fresh.project / "allure-report" / "dashboard.html").exists()


@pytest.mark.parametrize(("text", "failures", "status"), [(FALSE, 1, 1), (TRUE, 0, 130)])
def test_a_run_that_is_stopped_while_it_waits_for_the_renderer_loses_only_allures_page(
    fresh: Program, tmp_path: Path, text: str, failures: int, status: int
) -> None:
    """Another process installs it, and does not end. A broken promise is told by the status, too."""
    installing, here = fresh.project / "support" / "reporting" / "installing.py", 'Path(sys.prefix) / "renderer"'
    assert here in installing.read_text()
    installing.write_text(installing.read_text().replace(here, 'Path("renderer").absolute()'))
    fresh.write_features({"cluster/a.feature": text})
    metrics = tmp_path / "accept.prom"
    with (fresh.project / "renderer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with fresh.started("run", "--metrics", str(metrics)) as running:
            eventually(lambda: _require_there(metrics), within=60, subject="only Allure's page is missing")
            running.send_signal(signal.SIGTERM)
            told, _ = running.communicate(timeout=30)
    assert running.returncode == status, told
    assert "dashboard.html" in told
    assert re.search(r"^\d passed, \d failed, 0 skipped$", told, re.MULTILINE), told
    assert junit_of(fresh).attrib["failures"] == str(failures)
    dashboard = (fresh.project / "allure-report" / "dashboard.html").read_text()
    assert "has not ended" not in dashboard
    assert "allure.html" not in dashboard
    assert len(read(fresh.project / "allure-results" / "journal.jsonl").failing) == failures
    assert len((fresh.project / ".accept" / "history-runs.jsonl").read_text().splitlines()) == 1


def _require_there(file: Path) -> None:
    if not file.exists():
        raise NotYet(f"{file.name} is missing")


def _scenarios_are_over(program: Program) -> Callable[[], None]:
    def probe() -> None:
        journals = program.project.glob(".accept/runs/*/journal.jsonl")
        if not any('"event": "end"' in one.read_text() for one in journals):
            raise NotYet("a scenario is still running")

    return probe
