"""`accept run --jobs`: one run on several clusters side by side."""

import os
import signal
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from job_runs import SMALL, about_speed, behaves, features, record
from program import Program, copy

from support.cli import behave_process
from support.waiting import eventually


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
    of_speed = about_speed(seconds=1)
    program.write_features({**features(seconds=2), "cluster/P.feature": of_speed})
    ended = program.run("--jobs", "3", *SMALL)
    assert ended.last_line == "10 passed, 0 failed, 0 skipped", str(ended)
    run = record(program)
    last = sorted(run.results, key=lambda one: one.began)[-2:]
    assert [one.scenario.ids for one in last] == [("PF-90",), ("PF-91",)]
    assert all(one.began + one.seconds <= last[0].began for one in run.results if one not in last)


def test_ctrl_c_ends_all_jobs_with_a_report_of_what_was_done(program: Program) -> None:
    program.write_features(features(seconds=30))
    with program.started("--jobs", "2", *SMALL) as running:
        eventually(lambda: behaves(program, 2), within=60, subject="both jobs run their scenarios")
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
        (("--jobs", "0"), "--jobs 0: write a number of at least 1, or auto"),
        (("--jobs", "many"), "--jobs many: write a number of at least 1, or auto"),
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
