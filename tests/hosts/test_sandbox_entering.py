"""Entering and ending a sandbox, and what its caller learns from the exit status."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sandboxes import NOBODY, as_user, await_death, begin, directory_of, in_a_sandbox, living_sandbox, reach

from support.errors import NotAvailable, UsageError
from support.hosts import Sandbox, attach, enter, reentry_argv, stale
from support.waiting import eventually, pause

READY = "ready"
KINDS = pytest.mark.parametrize("kind", ["namespaces", "loopback"])
DOUBLE_FORKED = ["sh", "-c", "setsid sh -c 'sleep 1000 & sleep 1000' & exec sleep 1000"]


@KINDS
def test_a_command_that_enters_keeps_its_working_directory(kind: str, tmp_path: Path) -> None:
    with living_sandbox(kind, tmp_path) as sandbox:
        entered = subprocess.run(
            reentry_argv(
                sandbox.directory, ["sh", "-c", "pwd; readlink /proc/self/ns/net; readlink /proc/self/ns/pid"]
            ),
            capture_output=True,
            text=True,
            check=True,
        )
        directory, network, processes = entered.stdout.split()
        assert directory == os.getcwd()
        outside = [os.readlink(f"/proc/self/ns/{space}") for space in ("net", "pid")]
        assert ([network, processes] == outside) == (sandbox.kind == "loopback")


@KINDS
def test_a_dead_sandbox_is_recognised_and_its_directory_can_be_used_again(kind: str, tmp_path: Path) -> None:
    with pytest.raises(NotAvailable, match="never made"):
        attach(tmp_path)
    with living_sandbox(kind, tmp_path):
        assert not stale(tmp_path)
        with pytest.raises(UsageError, match="a sandbox lives in"):
            enter(kind, tmp_path)
    assert stale(tmp_path)
    for use in (attach, lambda directory: reentry_argv(directory, ["true"])):
        with pytest.raises(NotAvailable, match="is gone"):
            use(tmp_path)
    with living_sandbox(kind, tmp_path):
        assert not stale(tmp_path), "a dead sandbox's directory can be used again"


@KINDS
@pytest.mark.parametrize("status", [0, 7])
def test_the_caller_exits_with_the_status_of_the_worker(kind: str, status: int, tmp_path: Path) -> None:
    assert in_a_sandbox(kind, tmp_path, lambda sandbox: sys.exit(status)) == status
    assert stale(tmp_path)


@KINDS
def test_the_caller_exits_with_the_signal_that_killed_the_worker(kind: str, tmp_path: Path) -> None:
    status = in_a_sandbox(kind, tmp_path, lambda sandbox: os.kill(os.getpid(), signal.SIGKILL))
    assert status == 128 + signal.SIGKILL


@KINDS
def test_sigterm_to_the_caller_is_passed_on_to_the_worker(kind: str, tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
        (tmp_path / READY).touch()
        pause(10)

    assert _signalled(kind, tmp_path, act, lambda caller: os.kill(caller, signal.SIGTERM)) == 9


@KINDS
def test_ctrl_c_reaches_the_worker_but_no_program(kind: str, tmp_path: Path) -> None:
    def act(sandbox: Sandbox) -> None:
        program = sandbox.add_host("member-1", 11).add("sleep", ["sleep", "1000"])
        program.start()
        (tmp_path / READY).touch()
        try:
            pause(10)
        except KeyboardInterrupt:
            sys.exit(5 if program.pid is not None else 6)

    assert _signalled(kind, tmp_path, act, lambda caller: os.killpg(caller, signal.SIGINT)) == 5


@KINDS
def test_a_sandbox_can_be_ended_from_outside(kind: str, tmp_path: Path) -> None:
    caller = begin(kind, tmp_path, lambda sandbox: signal.pause())
    outside = reach(tmp_path)
    outside.end()
    assert os.waitstatus_to_exitcode(os.waitpid(caller, 0)[1]) == 128 + signal.SIGTERM
    outside.end()
    outside.close()
    await_death(tmp_path)


@KINDS
@pytest.mark.skipif(os.geteuid() != 0, reason="not root: every other test here already shows it")
class TestOrdinaryUser:
    """Everything works without being root."""

    def test_in_the_worker(self, kind: str) -> None:
        def act(sandbox: Sandbox) -> None:
            with sandbox:
                host = sandbox.add_host("member-1", 11)
                program = host.add("sleep", DOUBLE_FORKED)
                program.start()
                assert int(host.run(["id", "-u"]).stdout) > 0
                host.power_off()
                host.power_on()
                assert program.pid is not None
                program.kill()
                assert program.pid is None

        with directory_of(NOBODY) as directory:
            assert in_a_sandbox(kind, directory, act, user=NOBODY) == 0

    def test_from_outside(self, kind: str) -> None:
        def act() -> None:
            os.chdir("/")
            with living_sandbox(kind, directory) as sandbox:
                host = sandbox.add_host("member-1", 11)
                assert int(host.run(["id", "-u"]).stdout) > 0
                subprocess.run(reentry_argv(directory, ["true"]), check=True)

        with directory_of(NOBODY) as directory:
            assert as_user(NOBODY, act) == 0


def _signalled(kind: str, directory: Path, act: Callable[[Sandbox], None], send: Callable[[int], None]) -> int:
    """The exit status of the caller of a sandbox, which gets a signal once its worker has made the file READY."""
    caller = begin(kind, directory, act)
    eventually(lambda: _require((directory / READY).exists()), within=5, subject="the worker is ready")
    send(caller)
    return os.waitstatus_to_exitcode(os.waitpid(caller, 0)[1])


def _require(fact: bool) -> None:
    assert fact
