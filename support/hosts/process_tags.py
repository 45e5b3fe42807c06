"""Process tags: a number that a process carries, all its descendants inherit, and everybody may read.

The tag is stored in the soft limit on real-time CPU time (RLIMIT_RTTIME). The kernel enforces that limit for
real-time processes only, and the values used here amount to years. Unlike a parent, a session or the environment, it
survives a daemon that forks twice, calls setsid or overwrites its environment; PostgreSQL does all three. Unlike the
environment, it can be read without permission to trace the process.

    sandbox (31 bits) | host number (8 bits) | program number (8 bits)
"""

import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress

NO_HOST = 0  # the host number of the sandbox's own processes
ANY_COMMAND = 0  # the program number of commands that Host.argv runs


def tag(sandbox: int, host: int, program: int) -> int:
    """The tag of a program's processes."""
    return sandbox << 16 | host << 8 | program


def sandbox_of(number: int) -> int:
    """The sandbox in a tag."""
    return number >> 16


def host_of(number: int) -> int:
    """The sandbox and the host in a tag."""
    return number >> 8


def adopt(number: int) -> None:
    """Tag this process, and with it every process that it forks from now on."""
    resource.setrlimit(resource.RLIMIT_RTTIME, (number, resource.RLIM_INFINITY))


def tagging_argv(number: int) -> list[str]:
    """The words before a command that make it carry a tag."""
    return ["prlimit", f"--rttime={number}:unlimited"]


def tagged(match: Callable[[int], bool]) -> list[int]:
    """The visible living processes whose tag matches."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if (number := _tag_of(pid)) is not None and match(number) and _is_alive(pid)]


def send(pids: list[int], number: signal.Signals) -> None:
    """Signal all of them; those that are gone already are skipped."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def freeze(match: Callable[[int], bool]) -> list[int]:
    """Send SIGSTOP to all processes whose tag matches, and to those that they forked meanwhile; returns them."""
    frozen: set[int] = set()
    while fresh := [pid for pid in tagged(match) if pid not in frozen]:
        send(fresh, signal.SIGSTOP)
        frozen.update(fresh)
    return sorted(frozen)


def kill(match: Callable[[int], bool]) -> list[int]:
    """Send SIGKILL to all processes whose tag matches, at once, so that none sees another die. Returns them.

    Repeat it until it returns none: a process may have been in the middle of a fork.
    """
    doomed = freeze(match)
    send(doomed, signal.SIGKILL)
    return doomed


def _tag_of(pid: int) -> int | None:
    soft, _, _ = _read(pid, "limits").partition("Max realtime timeout")[2].strip().partition(" ")
    return int(soft) if soft.isdigit() else None


def _is_alive(pid: int) -> bool:
    """Neither gone nor a zombie."""
    return _read(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"], ["X"])


def _read(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # the process is gone
        return ""
