"""Sandboxes for the tests. Each is made by a process of its own, as `enter` never returns in the calling process."""

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from booting import boots

from support.errors import NotAvailable
from support.hosts import Sandbox, alive, attach, enter, why_not_namespaces
from support.waiting import eventually

NOBODY = 65534
SET_DUMPABLE = 4  # PR_SET_DUMPABLE


@boots
def require(kind: str) -> None:
    """Skip the test where this kind of sandbox is forbidden, and say why."""
    if kind == "namespaces" and (reason := why_not_namespaces()):
        pytest.skip(reason)


@contextmanager
def living_sandbox(kind: str, directory: Path, publish: tuple[str, ...] = ()) -> Iterator[Sandbox]:
    """A sandbox whose worker only waits, controlled from outside it."""
    require(kind)
    runner = begin(kind, directory, lambda sandbox: signal.pause(), publish)
    try:
        yield reach(directory)
    finally:
        os.kill(runner, signal.SIGKILL)
        os.waitpid(runner, 0)
        await_death(directory)


def reach(directory: Path, hosts: int = 0) -> Sandbox:
    """Wait until the sandbox in `directory` answers."""

    def reached() -> Sandbox:
        sandbox = attach(directory)
        assert len(sandbox.hosts) >= hosts
        return sandbox

    return eventually(reached, within=5, subject="the sandbox answers", retry_on=(NotAvailable,), pause=0.01)


def await_death(directory: Path, within: float = 5.0) -> None:
    """Wait until the supervisor is gone, and with it the sandbox."""

    def dead() -> None:
        assert not alive(directory)

    eventually(dead, within=within, subject="the sandbox is dead", pause=0.01)


def in_a_sandbox(kind: str, directory: Path, act: Callable[[Sandbox], object], user: int | None = None) -> int:
    """Make a sandbox, `act` in its worker, and return the exit status of the process that entered it."""
    require(kind)
    status = os.waitpid(begin(kind, directory, act, user=user), 0)[1]
    return os.waitstatus_to_exitcode(status)


def begin(
    kind: str,
    directory: Path,
    act: Callable[[Sandbox], object],
    publish: tuple[str, ...] = (),
    user: int | None = None,
) -> int:
    """Fork a process that enters a sandbox and does `act` in its worker; returns its pid."""
    return _fork(lambda: act(enter(kind, directory, publish)), user)


def as_user(user: int, act: Callable[[], object]) -> int:
    """Do `act` in a process of that user; returns its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(_fork(act, user), 0)[1])


def in_a_process(act: Callable[[], object]) -> int:
    """Do `act` in a process of its own; returns its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(_fork(act), 0)[1])


@boots
def _fork(act: Callable[[], object], user: int | None = None) -> int:
    sys.audit("tests.sandbox")  # which conftest.py refuses in a quick run
    if pid := os.fork():
        return pid
    status = 1
    os.setpgid(0, 0)  # a foreground process group of its own, as a terminal makes
    try:
        if user is not None:
            become(user)
        act()
        status = 0
    except SystemExit as wanted:
        status = int(wanted.code or 0)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def become(user: int) -> None:
    """Become an ordinary user. Nothing is executed anew, so it works for a Python that this user may not read."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    ctypes.CDLL(None).prctl(SET_DUMPABLE, 1, 0, 0, 0)  # else /proc/self belongs to root


@contextmanager
def directory_of(user: int) -> Iterator[Path]:
    """A temporary directory that belongs to `user` and that it can reach."""
    directory = Path(tempfile.mkdtemp(prefix="sandbox-"))
    os.chown(directory, user, -1)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
