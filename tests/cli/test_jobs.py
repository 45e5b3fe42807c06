"""`accept run --jobs`: one run on several clusters side by side. `accept run --coverage`: figures of every process."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from program import CLOSED_AT_FIRST, FALSE, LONG, SLOW_AT_FIRST, TRUE, Program, copy, feature, target

from support import sql
from support.cli import behave_process
from support.reporting.journal import RunRecord, read
from support.waiting import NotYet, eventually

SMALL = ("--members", "1", "--etcd", "1", "--workers", "0")
FEATURE = """
@normal
Feature: {name}
  @id.ZZ-{number}0
  Scenario: {name} claims the first
    Given a sum
    When {seconds} seconds pass
    Then one and one are 2

  @id.ZZ-{number}1
  Scenario: {name} claims the second
    Given a sum
    Then one and one are {sum}
"""


def features(seconds: int, last: int = 2) -> dict[str, str]:
    sums = {"A": 2, "B": 2, "C": 2, "D": last}
    return {
        f"cluster/{name}.feature": FEATURE.format(name=name, number=number, sum=sum, seconds=seconds)
        for number, (name, sum) in enumerate(sums.items(), 1)
    }


def record(program: Program) -> RunRecord:
    return read(program.project / "allure-results" / "journal.jsonl")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return copy(tmp_path)


def test_two_jobs_make_one_run(program: Program) -> None:
    program.write_features(features(seconds=6, last=3))
    ended = program.run("--jobs", "2", *SMALL)
    assert ended.status == 1, str(ended)
    assert ended.last_line == "7 passed, 1 failed, 0 skipped"
    assert "one and one are 2, not 3" in ended.out
    run = record(program)
    assert len(run.results) == len(run.selected) == 8
    assert not run.interrupted
    by_time = sorted(run.results, key=lambda one: one.began)
    assert any(after.began < one.began + one.seconds for one, after in pairwise(by_time)), "two ran at the same time"
    assert run.facts["Clusters"] == "2 clusters"
    results = list((program.project / "allure-results").glob("*-result.json"))
    assert len(results) == 8
    assert not list((program.project / ".accept" / "runs").glob("*")), "nothing is left of the run"


def test_what_is_required_and_missing_ends_the_run_at_once(program: Program) -> None:
    program.write_features(features(seconds=1))
    ended = program.run("--jobs", "2", "--require", "redis_failover", *SMALL)
    assert ended.status == 1, str(ended)
    assert "redis_failover is required but missing" in ended.complaints[-1], str(ended)
    assert "are left by jobs that ended early" not in ended.err, str(ended)
    assert not list((program.project / ".accept" / "runs").glob("*"))
    ended = program.run("--jobs", "2", "--require", "workers", *SMALL)
    assert (ended.status, "ready" in ended.err) == (1, False), str(ended)
    assert "--workers 0 asks for no worker groups" in ended.complaints[-1]


def test_performance_scenarios_run_last(program: Program) -> None:
    of_speed = FEATURE.format(name="P", number=9, sum=2, seconds=1).replace("@id.ZZ-9", "@id.PF-9")
    program.write_features({**features(seconds=2), "cluster/P.feature": of_speed})
    ended = program.run("--jobs", "3", *SMALL)
    assert ended.last_line == "10 passed, 0 failed, 0 skipped", str(ended)
    run = record(program)
    last = sorted(run.results, key=lambda one: one.began)[-2:]
    assert [one.scenario.ids for one in last] == [("PF-90",), ("PF-91",)]
    assert all(one.began + one.seconds <= last[0].began for one in run.results if one not in last)


def test_another_job_does_what_a_killed_one_left(program: Program) -> None:
    """Also the scenarios about speed. The run is not a success: nobody knows why behave died."""
    of_speed = FEATURE.format(name="P", number=9, sum=2, seconds=1).replace("@id.ZZ-9", "@id.PF-9")
    program.write_features({**features(seconds=6), "cluster/P.feature": of_speed})
    with program.started("--jobs", "2", *SMALL) as running:
        shares = eventually(lambda: _behaves(program, 2), within=60, subject="both jobs run their scenarios")
        eventually(lambda: _told(program), within=30, subject="a job tells what its scenario does")
        os.kill(shares[0], signal.SIGKILL)
        out, _ = running.communicate(timeout=90)
    run = record(program)
    assert running.returncode == 1, out
    assert len(run.results) == 10, out
    assert not run.failing, out
    assert "of 2 ended with status" in " ".join(out.split())
    assert not run.interrupted, "its user did not stop it"


@pytest.mark.slow
def test_a_job_that_dies_while_it_measures_speed_leaves_nothing_unjudged(program: Program) -> None:
    of_speed = FEATURE.format(name="P", number=9, sum=2, seconds=10).replace("@id.ZZ-9", "@id.PF-9")
    program.write_features(
        {
            "cluster/A.feature": features(seconds=1)["cluster/A.feature"],
            "cluster/P.feature": of_speed,
            "cluster/B.feature": features(seconds=1)["cluster/B.feature"],
        }
    )
    with program.started("--jobs", "2", *SMALL) as running:
        assert any("P claims the first" in line for line in running.stdout)
        (measuring,) = _behaves(program, 1)
        os.kill(measuring, signal.SIGKILL)
        out, _ = running.communicate(timeout=90)
    run = record(program)
    assert running.returncode == 1, out
    assert len(run.results) == 6, out
    assert "ended with status" in out


@pytest.mark.slow
def test_a_job_whose_cluster_does_not_boot_leaves_its_work_to_others(program: Program) -> None:
    """The second one cannot boot, whenever it is tried."""
    boot = program.project / "support" / "cli" / "boot.py"
    fails = '    if len(list(Path(".accept/runs").glob("*-*"))) > 1:\n        raise UsageError("no room for it")\n'
    begin = "    shape = shape_of(settings)\n    if shape.outside"
    assert begin in boot.read_text()
    boot.write_text(boot.read_text().replace(begin, fails + begin))
    program.write_features(features(seconds=6))
    ended = program.run("--jobs", "2", *SMALL)
    assert (ended.status, ended.last_line) == (0, "8 passed, 0 failed, 0 skipped"), str(ended)
    assert "cluster 2: accept: no room for it" in ended.err, str(ended)


def test_nothing_is_judged_if_no_cluster_boots(program: Program) -> None:
    boot = program.project / "support" / "cli" / "boot.py"
    begin = "    shape = shape_of(settings)\n    if shape.outside"
    boot.write_text(boot.read_text().replace(begin, '    raise UsageError("no room for it")\n' + begin))
    program.write_features(features(seconds=1))
    ended = program.run("--jobs", "2", *SMALL)
    assert ended.status == 3, str(ended)
    assert "no room for it" in ended.err


def test_what_is_too_slow_beside_other_clusters_is_judged_alone(program: Program) -> None:
    """It is not flaky, and the first verdict is named. A wrong result stays wrong."""
    slow = feature("A slow start", "it is the first time")
    program.write_features({**features(seconds=1, last=3), "cluster/E.feature": slow})
    (program.project / "steps" / "slow_steps.py").write_text(SLOW_AT_FIRST)
    ended = program.run("--jobs", "2", *SMALL)
    assert (ended.status, ended.last_line) == (1, "8 passed, 1 failed, 0 skipped"), str(ended)
    said = " ".join(ended.out.split())
    assert (
        "judged alone: ZZ-01 A slow start passed when it ran alone; alongside other clusters: it took too long" in said
    )
    assert "1 exceeded a limit, or saw too little, alongside other clusters; running alone" in ended.err
    assert not record(program).flaky
    assert [one.reason for one in record(program).failing] == ["one and one are 2, not 3"]


def test_what_never_comes_beside_other_clusters_is_flaky_when_it_comes_alone(program: Program) -> None:
    """What comes a little later is judged alone, as anything that is slow."""
    program.write_features(
        {
            **features(seconds=1),
            "cluster/E.feature": feature("A closed door", "the door opens"),
            "cluster/F.feature": feature("A slow door", "the slow door opens").replace("ZZ-01", "ZZ-02"),
        }
    )
    (program.project / "steps" / "door_steps.py").write_text(CLOSED_AT_FIRST)
    ended = program.run("--jobs", "2", *SMALL)
    assert (ended.status, ended.last_line) == (0, "10 passed, 0 failed, 0 skipped"), str(ended)
    run = record(program)
    assert [one.scenario.name for one in run.flaky] == ["A closed door"], str(ended)
    assert [one.scenario.name for one in run.crowded.values()] == ["A slow door"], str(ended)


@pytest.mark.slow
def test_a_rerun_of_jobs_tells_what_is_flaky(program: Program) -> None:
    bad_start = feature("A bad start", "it is the first time")
    program.write_features({**features(seconds=1), "cluster/E.feature": bad_start})
    fails_at_first = SLOW_AT_FIRST.replace('LimitExceeded("it took too long")', 'OSError("no such luck")')
    (program.project / "steps" / "slow_steps.py").write_text(fails_at_first)
    ended = program.run("--jobs", "2", "--rerun", "--fail-on-flaky", *SMALL)
    assert (ended.status, ended.last_line) == (1, "9 passed, 0 failed, 0 skipped"), str(ended)
    assert "1 failed; rerunning" in ended.err
    assert "flaky: ZZ-01 A bad start passed on the rerun" in " ".join(ended.out.split())


@pytest.mark.slow
def test_jobs_repeat_a_run(program: Program) -> None:
    program.write_features(features(seconds=1))
    ended = program.run("--jobs", "2", "--repeat", "2", "--shuffle", "--seed", "7", *SMALL)
    assert ended.status == 0, str(ended)
    assert ended.out.count("8 passed, 0 failed, 0 skipped") == 2, str(ended)
    assert "run 2 of 2, seed 8" in ended.err


def test_ctrl_c_ends_all_jobs_with_a_report_of_what_was_done(program: Program) -> None:
    program.write_features(features(seconds=30))
    with program.started("--jobs", "2", *SMALL) as running:
        eventually(lambda: _behaves(program, 2), within=60, subject="both jobs run their scenarios")
        os.kill(running.pid, signal.SIGINT)
        out, _ = running.communicate(timeout=30)
    assert running.returncode == 130, out
    assert "stopped; this is what was done so far" in out
    assert not list((program.project / ".accept" / "runs").glob("*")), "nothing is left of the run"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--jobs", "2", "--keep"), "--jobs and --keep do not go together"),
        (("--jobs", "2", "--like", "swarm"), "--jobs and --like do not go together"),
        (("--jobs", "0"), "--jobs 0: write a number from 1 on, or auto"),
        (("--jobs", "many"), "--jobs many: write a number from 1 on, or auto"),
        (("--rerun", "--repeat", "2"), "--repeat and --rerun do not go together"),
        (("--jobs", "2", "--target", "postgresql://u:p@127.0.0.1:1/d"), "--jobs is for clusters that the run itself"),
    ],
)
def test_incompatible_options_are_refused(program: Program, arguments: tuple[str, ...], words: str) -> None:
    ended = program.run(*arguments)
    assert ended.status == 2, str(ended)
    assert words in ended.err


def test_a_command_that_ends_by_itself_at_ctrl_c_is_no_error() -> None:
    ended = subprocess.Popen(["true"], process_group=0)
    ended.wait()
    behave_process._stop(ended)


def reached(program: Program) -> dict[str, float]:
    """The share of lines that ran, by file."""
    tree = ElementTree.parse(program.project / "coverage-report" / "coverage.xml")
    return {one.attrib["filename"]: float(one.attrib["line-rate"]) for one in tree.iter("class")}


def test_coverage_includes_the_program_behave_and_the_steps(program: Program, postgres: sql.Endpoint) -> None:
    program.variables = target(postgres)
    program.write_features({"cluster/a.feature": TRUE, "cluster/b.feature": FALSE})
    ended = program.run("cluster", "--coverage")
    assert ended.status == 1, str(ended)
    assert "1 passed, 1 failed, 0 skipped" in ended.out
    assert ended.last_line == "coverage: coverage-report/index.html"
    found = {Path(name).name: rate for name, rate in reached(program).items()}
    assert found["up.py"] < 1, "it is imported, and not called"
    assert found["run.py"] > 0.4, "the program ran it"
    assert found["recorder.py"] > 0.5, "behave's process ran it"
    assert 0.5 < found["probe_steps.py"] < 1, "one of its steps is in no scenario"
    assert (program.project / "coverage-report" / "index.html").exists()


@pytest.mark.parametrize("interrupt", [os.killpg, os.kill], ids=["by a terminal", "by a CI system"])
def test_ctrl_c_leaves_the_report_and_the_figures(
    program: Program, postgres: sql.Endpoint, interrupt: Callable[[int, int], None]
) -> None:
    program.variables = target(postgres)
    program.write_features({"cluster/a.feature": LONG})
    with program.started("run", "--coverage") as running:
        assert any("A claim that takes long" in line for line in running.stdout)
        interrupt(running.pid, signal.SIGINT)
        told, _ = running.communicate(timeout=100)
    assert running.returncode == 130, told
    assert "0 passed, 0 failed, 0 skipped, 1 interrupted" in told
    assert any(reached(program).values())


def _behaves(program: Program, wanted: int) -> list[int]:
    """The pids of the jobs' behave processes. Raises NotYet until that many scenarios have begun."""
    journals = (program.project / ".accept" / "runs").glob("*/journal.jsonl")
    begun = sum(journal.read_text().count('"event": "started"') for journal in journals)
    if begun < wanted:
        raise NotYet(f"{begun} have begun")
    run = re.compile(rf"-m behave .*-D accept_run={re.escape(str(program.project))}")
    return [one.pid for one in psutil.process_iter(["cmdline"]) if run.search(" ".join(one.info["cmdline"] or ()))]


def _told(program: Program) -> None:
    """Raises NotYet unless a job tells what its scenario does."""
    if not list((program.project / ".accept" / "runs").glob("*/moment.json")):
        raise NotYet("none does")
