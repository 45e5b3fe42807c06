"""Entering a sandbox: one process becomes an outer half, the supervisor, and the worker.

    caller ── wrapper ── supervisor ── worker      namespaces: the supervisor is PID 1 inside
    caller ───────────── supervisor ── worker      loopback

The caller stays outside and only waits; `enter` returns in the worker. A pipe, of which only the caller holds the
writing end, tells the supervisor when the caller is gone.
"""

import gc
import os
import secrets
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from types import FrameType
from typing import NoReturn

from support.errors import NotAvailable, UsageError
from support.hosts import kernel, process_tags, relay, rpc, state
from support.hosts.backend import Backend
from support.hosts.kernel import LOOPBACK, NAMESPACES
from support.hosts.loopback import LoopbackBackend, remove_shared_memory
from support.hosts.namespaces import NamespaceBackend
from support.hosts.sandbox import Sandbox, attach
from support.hosts.supervisor import Supervisor
from support.waiting import describe, pause

PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
SWEEP_PAUSE = 0.002  # seconds between two looks at whether everything that was killed is gone
SANDBOX_BITS = 31


@dataclass(frozen=True)
class Setup:
    """What caller, wrapper and supervisor must know."""

    kind: str
    number: int
    """Identifies this sandbox's processes, see `process_tags`."""
    directory: Path
    listeners: Mapping[str, socket]
    lifeline: int
    """Reads end-of-file when the caller is gone."""
    tell: int
    """The pipe that tells the caller what went wrong; closed when everything worked."""

    @property
    def tag(self) -> int:
        """The tag of the sandbox's own processes, which are on no host."""
        return process_tags.tag(self.number, process_tags.NO_HOST, process_tags.ANY_COMMAND)

    def close(self) -> None:
        """Close what only the supervisor needs, in a process that is not the supervisor."""
        os.close(self.lifeline)
        os.close(self.tell)
        for listener in self.listeners.values():
            listener.close()


def enter(kind: str, directory: Path, publish: Sequence[str] = (), prefer: Mapping[str, int] | None = None) -> Sandbox:
    """Make a sandbox in `directory` and continue inside it. Call it early: before threads, with nothing buffered.

    Each name in `publish` gets a port on 127.0.0.1 (that of `prefer` where it is free), so that it can be reached from
    outside. The function returns in a new process. The calling process never returns: it exits when the new one does,
    with the same status, or 128 + n when signal n killed it. The new process gets SIGINT from the terminal; SIGTERM and
    SIGHUP are passed on to it. Raises UsageError when another sandbox lives in `directory`, NotAvailable when this kind
    does not work here.
    """
    if kind not in (NAMESPACES, LOOPBACK):
        raise UsageError(f"no such kind of sandbox: {kind!r}; there are {NAMESPACES} and {LOOPBACK}")
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.require_free(directory)
    lifeline, hold = os.pipe()
    hear, tell = os.pipe()
    listeners = relay.bind(publish, prefer or {})
    setup = Setup(kind, secrets.randbits(SANDBOX_BITS), directory, listeners, lifeline, tell)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *PASSED_ON)}
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if inner := os.fork():
        said = _stay_outside(setup, inner, hear)
        os.close(hold)
        _restore(handlers)
        raise NotAvailable(f"cannot make a {kind} sandbox in {directory}: {said}")
    os.close(hold)
    os.close(hear)
    _become_supervisor_and_worker(setup)
    _restore(handlers)
    return attach(directory)


def _stay_outside(setup: Setup, inner: int, hear: int) -> str:
    """Wait for the inner half, and exit with its status. Returns only when it failed to begin: its error message."""
    setup.close()
    kernel.become_subreaper()
    _pass_on_to(inner)
    with open(hear) as pipe:
        said = pipe.read()
    status = _exit_status(inner)
    if said:
        return said
    _sweep(setup.number)  # finds something only if somebody killed the supervisor of a loopback sandbox
    os._exit(status)


def _become_supervisor_and_worker(setup: Setup) -> None:
    """Make the sandbox. Returns in the worker only."""
    try:
        seen_from_outside = int(os.readlink("/proc/self"))
        if setup.kind == NAMESPACES:
            seen_from_outside = _wrap(setup)
        supervisor = Supervisor(setup.directory, setup.number, _backend(setup), relay.Relay(setup.listeners, setup.tag))
        line = rpc.listen(setup.directory)
        lock = state.announce(setup.directory, _facts(setup, seen_from_outside))
        worker = os.fork()
    except BaseException as error:
        os.write(setup.tell, describe(error).encode())
        os._exit(1)
    if worker:
        os.close(setup.tell)
        _serve(setup, supervisor, worker, line)
    setup.close()
    os.close(lock)
    line.close()
    process_tags.adopt(setup.tag)  # for this process and all that it starts


def _wrap(setup: Setup) -> int:
    """Move into namespaces. Returns only in their first process: its pid as seen from outside.

    If a parent dies before its child asks to die with it, the lifeline still ends the supervisor.
    """
    kernel.die_with_parent()
    kernel.own_user_namespace(0, 0)
    kernel.unshare(kernel.OWN_MACHINE)
    if supervisor := os.fork():
        setup.close()
        kernel.set_name("accept-wrapper")
        _pass_on_to(supervisor)
        os._exit(_exit_status(supervisor))
    kernel.die_with_parent()
    return int(os.readlink("/proc/self"))  # /proc is still the outer one


def _serve(setup: Setup, supervisor: Supervisor, worker: int, line: socket) -> NoReturn:
    """Be the supervisor until the sandbox ends, and make sure that it ends."""
    status = 1
    try:
        gc.freeze()  # so that garbage collection does not copy pages in the many short-lived forks
        os.setsid()  # the terminal's signals are for the worker
        kernel.set_name("accept-superv")
        _pass_on_to(worker)
        status = supervisor.serve(worker, line, setup.lifeline)
    finally:
        try:
            _sweep(setup.number)  # also if serving failed
        finally:
            os._exit(status)


def _facts(setup: Setup, supervisor: int) -> state.Facts:
    published = {name: listener.getsockname() for name, listener in setup.listeners.items()}
    return state.Facts(setup.kind, supervisor, state.own_pid_namespace(), published)


def _backend(setup: Setup) -> Backend:
    if setup.kind == NAMESPACES:
        return NamespaceBackend(setup.directory, setup.number)
    return LoopbackBackend(setup.number)


def _sweep(sandbox: int) -> None:
    """Kill every process that belongs to the sandbox; reap its orphans and remove its shared memory."""
    killed: set[int] = set()
    while left := process_tags.kill(lambda number: process_tags.sandbox_of(number) == sandbox):
        killed.update(left)
        pause(SWEEP_PAUSE)
    remove_shared_memory(killed)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def _pass_on_to(pid: int) -> None:
    def pass_on(number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)


def _exit_status(pid: int) -> int:
    """Wait for a child; its exit status as a shell reports it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _restore(handlers: Mapping[signal.Signals, object]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
