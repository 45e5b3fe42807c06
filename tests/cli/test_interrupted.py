"""Ctrl-C is answered at once, and the end of the run tells what was interrupted and what was not reached."""

import signal
import time
from pathlib import Path

import pytest
from program import LONG, TRUE, Program, copy, feature, target

from support.sql import Endpoint


@pytest.fixture
def program(tmp_path: Path) -> Program:
    program = copy(tmp_path)
    later = feature("A claim that comes later", "one and one are 2").replace("ZZ-01", "ZZ-02")
    features = {"cache/before.feature": TRUE, "cluster/long.feature": LONG, "security/later.feature": later}
    program.write_features(features)
    return program


def test_ctrl_c_is_heard_and_the_end_tells_what_it_cut_off(program: Program, postgres: Endpoint) -> None:
    with program.started("run", "--jobs", "1", **target(postgres)) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "A claim that takes long ..." in line:
                break
        begun = time.monotonic()
        running.send_signal(signal.SIGINT)
        answer = next(line for line in running.stdout if line.strip())
        answered = time.monotonic() - begun
        rest = running.stdout.read()
    assert answer == "accept: stopping (Ctrl-C)\n", answer
    assert answered < 1.0
    assert running.returncode == 128 + signal.SIGINT, rest
    assert "interrupted: ZZ-01" in rest
    assert "not reached: ZZ-02" in rest
    assert "1 passed, 0 failed" in rest.rstrip().splitlines()[-1]
