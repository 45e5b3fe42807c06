"""`accept run --jobs`: one run on several clusters side by side. `accept run --coverage`: figures of every process."""

import os
import re
import signal
import subprocess
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from program import FALSE, LONG, TRUE, Program, copy, target

from support import sql
from support.cli import behave_process
from support.reporting.journal import RunRecord, read
from support.run import WorkQueue
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
    program.write_features(features(seconds=3, last=3))
    ended = program.run("--jobs", "2", *SMALL)
    assert ended.status == 1, str(ended)
    assert ended.last_line == "7 passed, 1 failed, 0 skipped"
    assert "one and one are 2, not 3" in ended.out
    run = record(program)
    assert len(run.results) == len(run.selected) == 8
    assert not run.interrupted
    by_time = sorted(run.results, key=lambda one: one.began)
    assert any(after.began < one.began + one.seconds for one, after in pairwise(by_time)), "two ran at the same time"
    results = list((program.project / "allure-results").glob("*-result.json"))
    assert len(results) == 8
    assert not list((program.project / ".accept" / "runs").glob("*")), "nothing is left of the run"


def test_performance_scenarios_run_last(program: Program) -> None:
    of_speed = FEATURE.format(name="P", number=9, sum=2, seconds=1).replace("@id.ZZ-9", "@id.PF-9")
    program.write_features({**features(seconds=2), "cluster/P.feature": of_speed})
    ended = program.run("--jobs", "3", *SMALL)
    assert ended.last_line == "10 passed, 0 failed, 0 skipped", str(ended)
    run = record(program)
    last = sorted(run.results, key=lambda one: one.began)[-2:]
    assert [one.scenario.ids for one in last] == [("PF-90",), ("PF-91",)]
    assert all(one.began + one.seconds <= last[0].began for one in run.results if one not in last)


def test_scenarios_of_a_killed_job_are_reported(program: Program) -> None:
    program.write_features(features(seconds=3))
    with program.started("--jobs", "2", *SMALL) as running:
        shares = eventually(lambda: _behaves(program, 2), within=60, subject="both jobs run their scenarios")
        os.kill(shares[0], signal.SIGKILL)
        out, _ = running.communicate(timeout=60)
    run = record(program)
    assert running.returncode in (1, 130), out
    assert len(run.without_verdict) >= 1, out
    assert len(run.results) + len(run.without_verdict) == 8, out


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
        (("--jobs", "2", "--repeat", "2"), "--jobs and --repeat do not go together"),
        (("--jobs", "2", "--rerun"), "--jobs and --rerun do not go together"),
        (("--rerun", "--repeat", "2"), "--repeat and --rerun do not go together"),
        (("--jobs", "2", "--target", "postgresql://u:p@127.0.0.1:1/d"), "--jobs is for clusters that the run itself"),
    ],
)
def test_incompatible_options_are_refused(program: Program, arguments: tuple[str, ...], words: str) -> None:
    ended = program.run(*arguments)
    assert ended.status == 2, str(ended)
    assert words in ended.err


def test_each_name_is_claimed_once(tmp_path: Path) -> None:
    one, other = WorkQueue(tmp_path / "claims"), WorkQueue(tmp_path / "claims")
    assert not one.taken("features/a.feature")
    assert one.take("features/a.feature")
    assert not other.take("features/a.feature")
    assert other.taken("features/a.feature")
    assert other.take("features/b.feature")


def test_one_process_of_three_is_the_last(tmp_path: Path) -> None:
    assert [WorkQueue(tmp_path).last(3) for _ in range(3)] == [False, False, True]
    assert not WorkQueue(tmp_path).last(3), "one that asks again, on its second cluster, is not"


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


def test_ctrl_c_leaves_the_report_and_the_figures(program: Program, postgres: sql.Endpoint) -> None:
    program.variables = target(postgres)
    program.write_features({"cluster/a.feature": LONG})
    with program.started("run", "--coverage") as running:
        assert any("A claim that takes long" in line for line in running.stdout)
        os.killpg(running.pid, signal.SIGINT)
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "0 passed, 0 failed, 0 skipped, 1 interrupted" in told
    assert any(reached(program).values())


def _behaves(program: Program, wanted: int) -> list[int]:
    """The pids of the jobs' behave processes. Raises NotYet until that many scenarios have begun."""
    journals = (program.project / ".accept" / "runs").glob("*/journal.jsonl")
    begun = sum(journal.read_text().count('"event": "started"') for journal in journals)
    if begun < wanted:
        raise NotYet(f"{begun} have begun")
    run = re.compile(rf"-m behave -D accept_run={re.escape(str(program.project))}")
    return [one.pid for one in psutil.process_iter(["cmdline"]) if run.search(" ".join(one.info["cmdline"] or ()))]
