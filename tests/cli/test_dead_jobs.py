"""`accept run --jobs`, of whose jobs one dies, or none has a cluster."""

import os
import signal
from pathlib import Path

import pytest
from job_runs import SMALL, about_speed, behaves, features, record, told
from program import Program, copy

from support.waiting import eventually


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return copy(tmp_path)


def test_another_job_does_what_a_killed_one_left(program: Program) -> None:
    """Also the scenarios about speed. The run is not a success: nobody knows why behave died."""
    of_speed = about_speed(seconds=1)
    program.write_features({**features(seconds=6), "cluster/P.feature": of_speed})
    with program.started("--jobs", "2", *SMALL) as running:
        shares = eventually(lambda: behaves(program, 2), within=60, subject="both jobs run their scenarios")
        eventually(lambda: told(program), within=30, subject="a job tells what its scenario does")
        os.kill(shares[0], signal.SIGKILL)
        out, _ = running.communicate(timeout=90)
    run = record(program)
    assert running.returncode == 1, out
    assert len(run.results) == 10, out
    assert not run.failing, out
    assert "of 2 ended with status" in " ".join(out.split())
    assert not run.interrupted, "its user did not stop it"


def test_nothing_is_judged_if_no_cluster_boots(program: Program) -> None:
    boot = program.project / "support" / "cli" / "boot.py"
    begin = "    shape = shape_of(settings)\n    if shape.outside"
    boot.write_text(boot.read_text().replace(begin, '    raise UsageError("no room for it")\n' + begin))
    program.write_features(features(seconds=1))
    ended = program.run("--jobs", "2", *SMALL)
    assert ended.status == 3, str(ended)
    assert "no room for it" in ended.err
