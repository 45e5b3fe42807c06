"""Entering a sandbox: one process becomes an outer half, the supervisor, and the worker.

    caller ── wrapper ── supervisor ── worker      namespaces: the supervisor is PID 1 inside
    caller ───────────── supervisor ── worker      loopback

The caller stays outside and only waits; the worker is who returns from `enter`. A pipe tells the supervisor when the
caller is gone: the caller alone holds its writing end.
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
from support.hosts.loopback import LoopbackBackend, remove_shared_memory
from support.hosts.namespaces import NamespaceBackend
from support.hosts.probing import LOOPBACK, NAMESPACES
from support.hosts.sandbox import Sandbox, attach
from support.hosts.supervisor import Supervisor
from support.waiting import describe, pause

PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
SWEEP_PAUSE = 0.002  # seconds between two looks at whether all that was killed is gone
STAND_BITS = 31


@dataclass(frozen=True)
class Plan:
    """What caller, wrapper and supervisor must know."""

    kind: str
    number: int
    """Tells this sandbox's processes from another's, see `process_tags`."""
    directory: Path
    listeners: Mapping[str, socket]
    lifeline: int
    """Reads end-of-file when the caller is gone."""
    tell: int
    """The pipe to the caller for what went wrong; closed when all is well."""

    @property
    def tag(self) -> int:
        """Worn by what is of the sandbox and on no host."""
        return process_tags.tag(self.number, process_tags.NO_HOST, process_tags.ANY_COMMAND)

    def let_go(self) -> None:
        """Close what the supervisor alone needs; its own copies stay open."""
        os.close(self.lifeline)
        os.close(self.tell)
        for listener in self.listeners.values():
            listener.close()


def enter(kind: str, directory: Path, publish: Sequence[str] = (), prefer: Mapping[str, int] | None = None) -> Sandbox:
    """Make a sandbox in `directory` and go on inside it. Call it early: before threads, and with nothing buffered.

    `publish`: names to be reached from outside; each gets a port on 127.0.0.1, that of `prefer` where it is free.
    Returns in a new process. The calling one never returns: it ends as the new one ends, with the same status, or
    128 + n when signal n killed it. SIGINT reaches the new one from the terminal, SIGTERM and SIGHUP are passed on
    to it. Raises UsageError when another sandbox lives in `directory`, NotAvailable when this kind does not work.
    """
    if kind not in (NAMESPACES, LOOPBACK):
        raise UsageError(f"no such kind of sandbox: {kind!r}; there are {NAMESPACES} and {LOOPBACK}")
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.require_free(directory)
    lifeline, hold = os.pipe()
    hear, tell = os.pipe()
    listeners = relay.bind(publish, prefer or {})
    plan = Plan(kind, secrets.randbits(STAND_BITS), directory, listeners, lifeline, tell)
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, *PASSED_ON)}
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if inner := os.fork():
        said = _stay_outside(plan, inner, hear)
        os.close(hold)
        _handle(usual)
        raise NotAvailable(f"cannot make a {kind} sandbox in {directory}: {said}")
    os.close(hold)
    os.close(hear)
    _become_supervisor_and_worker(plan)
    _handle(usual)
    return attach(directory)


def _stay_outside(plan: Plan, inner: int, hear: int) -> str:
    """Wait for the other half, and end as it ends. Returns only when it failed to begin: what it said."""
    plan.let_go()
    kernel.become_subreaper()
    _pass_on_to(inner)
    with open(hear) as pipe:
        said = pipe.read()
    status = _exit_status(inner)
    if said:
        return said
    _sweep(plan.number)  # nothing is left, unless someone killed the supervisor of a loopback sandbox
    os._exit(status)


def _become_supervisor_and_worker(plan: Plan) -> None:
    """Make the sandbox. Returns in the worker alone."""
    try:
        seen_from_outside = int(os.readlink("/proc/self"))
        if plan.kind == NAMESPACES:
            seen_from_outside = _wrap(plan)
        supervisor = Supervisor(plan.directory, plan.number, _backend(plan), relay.Relay(plan.listeners, plan.tag))
        line = rpc.listen(plan.directory)
        lock = state.announce(plan.directory, _facts(plan, seen_from_outside))
        worker = os.fork()
    except BaseException as error:
        os.write(plan.tell, describe(error).encode())
        os._exit(1)
    if worker:
        os.close(plan.tell)
        _serve(plan, supervisor, worker, line)
    plan.let_go()
    os.close(lock)
    line.close()
    process_tags.adopt(plan.tag)  # with all that the worker starts


def _wrap(plan: Plan) -> int:
    """Move into namespaces. Returns in their first process alone: its pid as seen from outside.

    Should a parent die before it is asked to take its child along, the lifeline still ends the supervisor.
    """
    kernel.die_with_parent()
    kernel.own_user_namespace(0, 0)
    kernel.unshare(kernel.OWN_MACHINE)
    if supervisor := os.fork():
        plan.let_go()
        kernel.set_name("accept-wrapper")
        _pass_on_to(supervisor)
        os._exit(_exit_status(supervisor))
    kernel.die_with_parent()
    return int(os.readlink("/proc/self"))  # /proc is still that of outside


def _serve(plan: Plan, supervisor: Supervisor, worker: int, line: socket) -> NoReturn:
    """Be the supervisor until the sandbox ends, and see to it that it does."""
    status = 1
    try:
        gc.freeze()  # for the many short-lived forks: no collection copies their pages
        os.setsid()  # what the terminal has to say is for the worker
        kernel.set_name("accept-superv")
        _pass_on_to(worker)
        status = supervisor.serve(worker, line, plan.lifeline)
        _sweep(plan.number)
    finally:
        os._exit(status)


def _facts(plan: Plan, supervisor: int) -> state.Facts:
    published = {name: listener.getsockname() for name, listener in plan.listeners.items()}
    return state.Facts(plan.kind, supervisor, state.own_pid_namespace(), published)


def _backend(plan: Plan) -> Backend:
    if plan.kind == NAMESPACES:
        return NamespaceBackend(plan.directory, plan.number)
    return LoopbackBackend(plan.number)


def _sweep(sandbox: int) -> None:
    """Kill all that belongs to the sandbox, wherever it hides; reap and remove what it leaves to this process."""
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
    """Wait for a child; its exit status as a shell puts it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _handle(handlers: Mapping[signal.Signals, object]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]
