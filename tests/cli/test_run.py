"""`accept run` on one database: exit statuses, leftovers, Ctrl-C and kill -9 in a scenario, repeats and reruns."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as xml

import psutil
import pytest
from bounds import takes_less_than
from program import FALSE, FICKLE, LONG, SLOW_AT_FIRST, TRUE, Program, copy, feature, target

from support import sql
from support.reporting.journal import read
from support.waiting import NotYet, eventually

VAIN = feature("A claim without evidence", "nobody knows")
SHARDED = feature("A claim on shards", "one and one are 2", tags="@citus")
DISTURBING = feature("A claim after a disturbance", "one and one are 2", tags="@destructive")
CACHED = feature("A claim about the cache", "one and one are 2", tags="@redis")
PAIR = """
@normal
Feature: {name}
  @id.ZZ-0{number}
  Scenario: {name} claims the first
    Given a sum
    Then one and one are 2

  @id.ZZ-1{number}
  Scenario: {name} claims the second
    Given a sum
    Then {claim}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


@pytest.fixture
def program(project: Program, postgres: sql.Endpoint) -> Program:
    """The program, pointed at a user's database."""
    project.variables = target(postgres)
    return project


def test_all_passed_or_skipped_with_a_reason(program: Program, postgres: sql.Endpoint) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cache/b.feature": SHARDED, "failover/c.feature": DISTURBING})
    before = _schemas(postgres)
    ended = program.run("--seed", "4711")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 2 skipped"), str(ended)
    assert "citus is not installed" in ended.out, "a skip has a reason"
    assert "ACCEPT_DESTRUCTIVE" in ended.out, "a cluster that is not ours is not disturbed"
    assert "seed 4711" in ended.err
    assert _schemas(postgres) == before, "a schema of the run is still there"
    assert list(program.project.joinpath(".accept", "runs").iterdir()) == []
    assert len(list(program.project.joinpath("allure-results").glob("*-result.json"))) == 3
    everything = [path for name in ("allure-results", "allure-report", ".accept") for path in _files(program, name)]
    assert everything
    assert not [path for path in everything if postgres.password.encode() in path.read_bytes()]


def test_a_broken_and_an_inconclusive_scenario_fail_the_run(program: Program) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cache/b.feature": FALSE, "cache/c.feature": VAIN})
    ended = program.run()
    assert (ended.status, ended.last_line) == (1, "1 passed, 2 failed, 0 skipped"), str(ended)
    assert "one and one are 2, not 3" in ended.out
    assert "nobody looked" in ended.out
    dashboard = program.project / "allure-report" / "dashboard.html"
    dashboard.unlink()
    again = program.run("report")
    assert (again.status, again.last_line) == (ended.status, ended.last_line), again
    assert dashboard.exists()


def test_a_run_without_a_verdict_is_not_a_success(program: Program) -> None:
    program.write_features({"cluster/a.feature": SHARDED})
    ended = program.run()
    assert (ended.status, ended.last_line) == (3, "0 passed, 0 failed, 1 skipped"), str(ended)


def test_destructive_scenarios_run_on_a_named_cluster_of_the_user(program: Program) -> None:
    program.write_features({"cluster/a.feature": DISTURBING})
    ended = program.run("destructive", ACCEPT_DESTRUCTIVE="postgres")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(ended)


def test_a_capability_that_the_target_had_in_its_last_run_is_told(program: Program) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cache/b.feature": CACHED})
    first = program.run()
    assert first.last_line == "1 passed, 0 failed, 1 skipped", str(first)
    assert "lost since the previous run" not in first.out
    known = program.project / ".accept" / "capabilities.json"
    known.write_text(known.read_text().replace(": [", ': ["redis", ', 1))  # as if its last run had found one
    second = program.run()
    assert (second.status, second.last_line) == (0, "1 passed, 0 failed, 1 skipped"), str(second)
    assert "lost since the previous run: redis: " in " ".join(second.out.split()), str(second)
    assert "lost since the previous run" not in program.run().out, "it is told once"


def test_a_target_file_and_options_for_behave(project: Program, postgres: sql.Endpoint) -> None:
    project.variables = {}
    project.write_features({"cluster/a.feature": FALSE, "cluster/b.feature": TRUE})
    lines = [f"{name.lower()} = {json.dumps(value)}" for name, value in target(postgres).items()]
    project.project.joinpath("theirs.toml").write_text("\n".join(lines))
    ended = project.run("cluster", "--target", "theirs.toml", "--exclude", "a.feature")
    assert (ended.status, ended.last_line) == (0, "1 passed, 0 failed, 0 skipped"), str(ended)


def test_ctrl_c_ends_soon_with_a_report_of_what_was_done(program: Program) -> None:
    program.write_features({"cluster/a.feature": TRUE, "cluster/b.feature": LONG})
    with program.started("run") as running:
        family = _await_scenario(running, "A claim that takes long")
        with takes_less_than(5):
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does
            told, _ = running.communicate(timeout=100)
    assert running.returncode == 130, told
    assert "stopped; this is what was done so far" in told
    assert "1 passed, 0 failed, 0 skipped, 1 interrupted" in told
    _require_gone(family)


def test_nothing_survives_a_killed_program(program: Program) -> None:
    _kill_in_a_scenario(program)


def _kill_in_a_scenario(program: Program) -> None:
    program.write_features({"cluster/a.feature": LONG})
    with program.started("run") as running:
        family = _await_scenario(running, "A claim that takes long")
        running.kill()
        running.wait()
        _require_gone(family)


def test_a_killed_behave_is_not_a_success(program: Program) -> None:
    program.write_features({"cluster/b.feature": LONG})
    with program.started("run") as running:
        for process in _await_scenario(running, "A claim that takes long")[1:]:
            process.kill()
        told, _ = running.communicate(timeout=20)
    assert running.returncode == 3, f"nobody interrupted it: {told}"
    assert "0 passed, 0 failed, 0 skipped, 1 interrupted" in told
    assert "behave was killed, with status" in told
    assert "./accept heal undoes them" in " ".join(told.split())


@pytest.fixture
def fresh(tmp_path: Path, postgres: sql.Endpoint) -> Program:
    """The program in a project of its own, pointed at the same database."""
    made = copy(tmp_path)
    made.variables = target(postgres)
    return made


def pairs(last_claim: str) -> dict[str, str]:
    claims = {"A": "one and one are 2", "B": "one and one are 2", "C": last_claim}
    return {
        f"cluster/{name}.feature": PAIR.format(name=name, number=number, claim=claim)
        for number, (name, claim) in enumerate(claims.items())
    }


def orders(out: str) -> list[list[str]]:
    """The scenarios of each run, in the order of their start."""
    begun = re.findall(r"^\[(\d+)/6\] (ZZ-\d\d)", out, re.MULTILINE)
    runs: list[list[str]] = []
    for number, id in begun:
        if number == "1":
            runs.append([])
        runs[-1].append(id)
    return runs


def test_runs_agree_and_the_seed_decides_their_order(fresh: Program) -> None:
    fresh.write_features(pairs("one and one are 2"))
    ended = fresh.run("--repeat", "3", "--shuffle", "--seed", "7")
    assert ended.status == 0, str(ended)
    assert ended.last_line == "3 runs of 6 scenarios: none changed its verdict"
    assert re.findall(r"run \d of 3, seed (\d)", ended.err) == ["7", "8", "9"]
    found = orders(ended.out)
    assert all(sorted(one) == ["ZZ-00", "ZZ-01", "ZZ-02", "ZZ-10", "ZZ-11", "ZZ-12"] for one in found), str(ended)
    assert len({tuple(one) for one in found}) > 1, "the order differs"
    assert orders(fresh.run("--shuffle", "--seed", "8").out) == [found[1]], "and can be had again"


def test_a_changed_verdict_is_reported_and_fails_the_command(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(FICKLE)
    ended = fresh.run("--repeat", "2")
    said = " ".join(ended.out.split())
    assert ended.status == 1, str(ended)
    assert "changed: ZZ-12 C claims the second" in said, str(ended)
    assert "run 1: passed" in said, str(ended)
    assert "run 2: broken: it was so before" in said, str(ended)
    assert ended.last_line == "2 runs of 6 scenarios: 1 changed their verdict"


def test_the_report_of_several_runs_is_that_of_the_worst(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(SLOW_AT_FIRST)
    ended = fresh.run("--repeat", "2", "--seed", "7")
    assert ended.status == 1, str(ended)
    assert "the report is about the worst run, with seed 7" in ended.err, str(ended)
    assert _junit(fresh).attrib["failures"] == "1"
    (broken,) = read(fresh.project / "allure-results" / "journal.jsonl").failing
    assert broken.reason == "it took too long"
    assert list(fresh.project.joinpath(".accept", "runs").iterdir()) == []


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
    assert _junit(fresh).attrib["errors"] == "0"
    ended = fresh.run(RUVECTOR_PORT="1")
    assert ended.status == 3, str(ended)
    (case,) = _junit(fresh).iter("testcase")
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
    _kill_in_a_scenario(fresh)
    for page in report.glob("*.*"):
        text = page.read_text()
        assert "No report yet: the run that began on " in text
        assert "keeps" not in text
    assert {one.name for one in report.glob("*.*")} == {"dashboard.html", "index.html", "on-call.html"}
    assert fresh.run("report").status == 0
    assert "Yes: the cluster keeps" in (report / "dashboard.html").read_text()


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


@pytest.mark.parametrize("option", ["--repeat=2", "--rerun"])
def test_a_run_that_cannot_go_on_at_once_leaves_nothing_of_the_run_before(
    fresh: Program, programs: Path, option: str, tmp_path: Path
) -> None:
    fresh.write_features({"cluster/a.feature": TRUE})
    assert fresh.run().status == 0
    (programs / "setpriv").unlink()
    ended = fresh.run(option, "--metrics", str(tmp_path / "accept.prom"))
    assert ended.status == 3, str(ended)
    (case,) = _junit(fresh).iter("testcase")
    assert "setpriv" in case.find("error").attrib["message"]
    assert "Unknown: this run judged no promise." in (fresh.project / "allure-report" / "dashboard.html").read_text()
    assert "accept_run_exit_status" in (tmp_path / "accept.prom").read_text()


def test_a_rerun_that_cannot_begin_leaves_the_verdicts_before_it(fresh: Program, programs: Path) -> None:
    fresh.write_features(pairs("it is late, and a program is lost"))
    (fresh.project / "steps" / "losing_steps.py").write_text(LOSING)
    ended = fresh.run("--rerun")
    assert (ended.status, ended.last_line) == (1, "5 passed, 1 failed, 0 skipped"), str(ended)
    assert "the run cannot go on: [Errno 2]" in " ".join(ended.err.split()), str(ended)
    record = read(fresh.project / "allure-results" / "journal.jsonl")
    assert [one.reason for one in record.failing] == ["it took too long"]
    (trouble,) = record.troubles
    assert "setpriv" in trouble.message
    assert "Traceback" in trouble.trace
    assert _junit(fresh).attrib["failures"] == "1"
    assert "setpriv" in (fresh.project / "allure-report" / "dashboard.html").read_text()


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
    assert ended.err.count("the run cannot go on") == 1, str(ended)
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


def _scenarios_are_over(program: Program) -> Callable[[], None]:
    def probe() -> None:
        journals = program.project.glob(".accept/runs/*/journal.jsonl")
        if not any('"event": "end"' in one.read_text() for one in journals):
            raise NotYet("a scenario is still running")

    return probe


def _junit(program: Program) -> xml.Element:
    return xml.parse(program.project / "allure-report" / "junit.xml").getroot()


def test_a_scenario_that_passes_on_the_rerun_is_flaky(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(SLOW_AT_FIRST)
    ended = fresh.run("--rerun")
    said = " ".join(ended.out.split())
    assert ended.status == 0, str(ended)
    assert "1 failed; rerunning" in ended.err
    assert "flaky: ZZ-12 C claims the second passed on the rerun; broken at first: it took too long" in said
    assert ended.last_line == "6 passed, 0 failed, 0 skipped"
    results = [json.loads(one.read_text()) for one in (fresh.project / "allure-results").glob("*-result.json")]
    tries = sorted((one["start"], one["status"]) for one in results if one["name"] == "C claims the second")
    assert [status for _, status in tries] == ["failed", "passed"], "the evidence of both is in the report"
    assert len(results) == 7
    summary = (fresh.project / "allure-report" / "dashboard.html").read_text()
    assert "passed only when it was run again" in summary


def test_a_flaky_scenario_fails_the_run_if_the_user_wants_that(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(SLOW_AT_FIRST)
    ended = fresh.run("--rerun", "--fail-on-flaky")
    assert (ended.status, ended.last_line) == (1, "6 passed, 0 failed, 0 skipped"), str(ended)
    (fresh.project / "seen").unlink()
    assert fresh.run("--fail-on-flaky").status == 2


def test_a_rerun_never_clears_a_wrong_result(fresh: Program) -> None:
    """It would pass the second time: a lost write that shows in one run of five is lost all the same."""
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(FICKLE.replace("assert not known", "assert known"))
    ended = fresh.run("--rerun")
    assert ended.status == 1, str(ended)
    assert "1 gave a wrong result; not rerun" in ended.err
    assert "flaky" not in ended.out
    assert ended.last_line == "5 passed, 1 failed, 0 skipped"


def test_a_scenario_that_fails_again_stays_broken(fresh: Program) -> None:
    fresh.write_features(pairs("it is the first time"))
    (fresh.project / "steps" / "fickle_steps.py").write_text(SLOW_AT_FIRST.replace("if not known", "if True"))
    ended = fresh.run("--rerun")
    assert ended.status == 1, str(ended)
    assert "flaky" not in ended.out
    assert ended.last_line == "5 passed, 1 failed, 0 skipped"


def _schemas(postgres: sql.Endpoint) -> list[sql.Row]:
    return sql.rows(postgres, "SELECT nspname FROM pg_namespace ORDER BY 1")


def _files(program: Program, name: str) -> Iterator[Path]:
    return (path for path in program.project.joinpath(name).rglob("*") if path.is_file())


def _await_scenario(running: "psutil.Popen", title: str) -> list[psutil.Process]:
    """Read the output until a scenario runs. Returns the program's processes, the program first."""
    for line in running.stdout:
        if title in line:
            first = psutil.Process(running.pid)
            return [first, *first.children(recursive=True)]
    raise AssertionError(f"{title!r} never began")


def _require_gone(family: list[psutil.Process]) -> None:
    def gone() -> None:
        if left := [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]:
            raise NotYet(f"still there: {left}")

    eventually(gone, within=1, subject="the program and all that it started are gone")
