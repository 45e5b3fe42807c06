"""Ctrl-C is answered at once, and the end of the run tells what was interrupted and what was not reached."""

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest
from program import LONG, TRUE, Program, copy, feature, target

from support.sql import Endpoint

DISTURBING = LONG.replace("Given a sum", "Given what takes {seconds} seconds to undo")
SLOW_TO_UNDO = """
from pathlib import Path
from behave import given
from support.waiting import pause

@given("what takes {seconds:d} seconds to undo")
def slow_to_undo(context, seconds):
    def undo():
        pause(seconds)
        Path("undone").touch()

    context.world.cleanup.callback(undo)
"""


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


def test_on_a_terminal_the_view_itself_says_that_ctrl_c_was_heard(program: Program, postgres: Endpoint) -> None:
    """Whoever else printed it would do so in the midst of the view, which then draws over it."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [*program.argv, "run", "--jobs", "1"],
        cwd=program.project,
        env={**program.environment, **target(postgres), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, begun = b"", 0.0
    try:
        while more := _read(ours):
            shown += more
            if not begun and "s · ZZ-01 A claim that takes long".encode() in shown:
                begun = time.monotonic()
                running.send_signal(signal.SIGINT)
                shown = b""
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        os.close(ours)
    assert begun, shown.decode()
    assert running.returncode == 128 + signal.SIGINT, shown.decode()
    assert b"stopping (Ctrl-C)" in shown, shown.decode()
    assert b"accept: stopping" not in shown, shown.decode()
    assert b"1 interrupted, 1 not reached" in shown, shown.decode()


def _read(terminal: int) -> bytes:
    """What was printed on a terminal; nothing at its end."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody has it open any more
        return b""


def _interrupted(program: Program, postgres: Endpoint, seconds: int, times: int) -> tuple[float, str]:
    """Stop a run whose scenario takes so many seconds to undo, by so many Ctrl-C; returns the time, and the output."""
    program.write_features({"cluster/long.feature": DISTURBING.format(seconds=seconds)})
    (program.project / "steps" / "slow_steps.py").write_text(SLOW_TO_UNDO, encoding="utf-8")
    with program.started("run", "--jobs", "1", **target(postgres)) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "A claim that takes long ..." in line:
                break
        begun, printed = time.monotonic(), ""
        running.send_signal(signal.SIGINT)
        for line in running.stdout if times > 1 else ():
            printed += line
            if "Ctrl-C again" in line:
                running.send_signal(signal.SIGINT)
        printed += running.stdout.read()
        running.wait()
    return time.monotonic() - begun, printed


def test_what_a_run_has_changed_on_a_users_cluster_is_undone_after_ctrl_c(program: Program, postgres: Endpoint) -> None:
    _, printed = _interrupted(program, postgres, seconds=4, times=1)
    assert (program.project / "undone").exists(), printed
    assert "interrupted: ZZ-01" in printed
    assert "accept heal" not in printed


def test_a_second_ctrl_c_does_not_wait_for_that(program: Program, postgres: Endpoint) -> None:
    took, printed = _interrupted(program, postgres, seconds=90, times=2)
    assert took < 45, printed
    assert not (program.project / "undone").exists()
    assert "accept heal" in printed
