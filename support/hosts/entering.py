"""Entering a stand: one process becomes an outer half, the steward, and the worker.

    caller ── wrapper ── steward ── worker      namespaces: the steward is PID 1 inside
    caller ───────────── steward ── worker      loopback

The caller stays outside and only waits; the worker is who returns from `enter`. A pipe tells the steward when the
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
from support.hosts import brands, calls, kernel, leavings, relay, state
from support.hosts.loopback import LoopbackGround
from support.hosts.machines import Ground
from support.hosts.namespaces import NamespaceGround
from support.hosts.probing import LOOPBACK, NAMESPACES
from support.hosts.stand import Stand, attach
from support.hosts.steward import Steward
from support.waiting import describe, pause

PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
SWEEP_PAUSE = 0.002  # seconds between two looks at whether all that was killed is gone
STAND_BITS = 31


@dataclass(frozen=True)
class Plan:
    """What caller, wrapper and steward must know."""

    kind: str
    number: int
    """Tells this stand's processes from another's, see `brands`."""
    directory: Path
    listeners: Mapping[str, socket]
    lifeline: int
    """Reads end-of-file when the caller is gone."""
    tell: int
    """The pipe to the caller for what went wrong; closed when all is well."""

    @property
    def brand(self) -> int:
        """Worn by what is of the stand and on no host."""
        return brands.brand(self.number, brands.SUITE, brands.ANY_COMMAND)

    def let_go(self) -> None:
        """Close what the steward alone needs; its own copies stay open."""
        os.close(self.lifeline)
        os.close(self.tell)
        for listener in self.listeners.values():
            listener.close()


def enter(kind: str, directory: Path, publish: Sequence[str] = (), prefer: Mapping[str, int] | None = None) -> Stand:
    """Make a stand in `directory` and go on inside it. Call it early: before threads, and with nothing buffered.

    `publish`: names to be reached from outside; each gets a port on 127.0.0.1, that of `prefer` where it is free.
    Returns in a new process. The calling one never returns: it ends as the new one ends, with the same status, or
    128 + n when signal n killed it. SIGINT reaches the new one from the terminal, SIGTERM and SIGHUP are passed on
    to it. Raises UsageError when another stand lives in `directory`, NotAvailable when this kind does not work.
    """
    if kind not in (NAMESPACES, LOOPBACK):
        raise UsageError(f"no such kind of stand: {kind!r}; there are {NAMESPACES} and {LOOPBACK}")
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
        raise NotAvailable(f"cannot make a {kind} stand in {directory}: {said}")
    os.close(hold)
    os.close(hear)
    _become_steward_and_worker(plan)
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
    _sweep(plan.number)  # nothing is left, unless someone killed the steward of a loopback stand
    os._exit(status)


def _become_steward_and_worker(plan: Plan) -> None:
    """Make the stand. Returns in the worker alone."""
    try:
        seen_from_outside = int(os.readlink("/proc/self"))
        if plan.kind == NAMESPACES:
            seen_from_outside = _wrap(plan)
        steward = Steward(plan.directory, plan.number, _ground(plan), relay.Relay(plan.listeners, plan.brand))
        line = calls.listen(plan.directory)
        lock = state.announce(plan.directory, _facts(plan, seen_from_outside))
        worker = os.fork()
    except BaseException as error:
        os.write(plan.tell, describe(error).encode())
        os._exit(1)
    if worker:
        os.close(plan.tell)
        _serve(plan, steward, worker, line)
    plan.let_go()
    os.close(lock)
    line.close()
    brands.wear(plan.brand)  # with all that the worker starts


def _wrap(plan: Plan) -> int:
    """Move into namespaces. Returns in their first process alone: its pid as seen from outside.

    Should a parent die before it is asked to take its child along, the lifeline still ends the steward.
    """
    kernel.die_with_parent()
    kernel.own_user_namespace(0, 0)
    kernel.unshare(kernel.OWN_MACHINE)
    if steward := os.fork():
        plan.let_go()
        kernel.set_name("accept-wrapper")
        _pass_on_to(steward)
        os._exit(_exit_status(steward))
    kernel.die_with_parent()
    return int(os.readlink("/proc/self"))  # /proc is still that of outside


def _serve(plan: Plan, steward: Steward, worker: int, line: socket) -> NoReturn:
    """Be the steward until the stand ends, and see to it that it does."""
    status = 1
    try:
        gc.freeze()  # for the many short-lived forks: no collection copies their pages
        os.setsid()  # what the terminal has to say is for the worker
        kernel.set_name("accept-steward")
        _pass_on_to(worker)
        status = steward.serve(worker, line, plan.lifeline)
        _sweep(plan.number)
    finally:
        os._exit(status)


def _facts(plan: Plan, steward: int) -> state.Facts:
    published = {name: listener.getsockname() for name, listener in plan.listeners.items()}
    return state.Facts(plan.kind, steward, state.own_pid_namespace(), published)


def _ground(plan: Plan) -> Ground:
    if plan.kind == NAMESPACES:
        return NamespaceGround(plan.directory, plan.number)
    return LoopbackGround(plan.number)


def _sweep(stand: int) -> None:
    """Kill all that belongs to the stand, wherever it hides; reap and remove what it leaves to this process."""
    killed: set[int] = set()
    while left := brands.kill(lambda number: brands.stand_of(number) == stand):
        killed.update(left)
        pause(SWEEP_PAUSE)
    leavings.remove(killed)
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
