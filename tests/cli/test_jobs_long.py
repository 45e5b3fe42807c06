"""`accept run --jobs`, in runs that take a minute or more: jobs that die, reruns, repeats."""

import os
import signal
from pathlib import Path

import pytest
from job_runs import SMALL, about_speed, behaves, features, record
from program import SLOW_AT_FIRST, Program, copy, feature


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return copy(tmp_path)


@pytest.mark.slow
def test_a_job_that_dies_while_it_measures_speed_leaves_nothing_unjudged(program: Program) -> None:
    of_speed = about_speed(seconds=10)
    program.write_features(
        {
            "cluster/A.feature": features(seconds=1)["cluster/A.feature"],
            "cluster/P.feature": of_speed,
            "cluster/B.feature": features(seconds=1)["cluster/B.feature"],
        }
    )
    with program.started("--jobs", "2", *SMALL) as running:
        assert any("P claims the first" in line for line in running.stdout)
        (measuring,) = behaves(program, 1)
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
