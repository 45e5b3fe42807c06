"""Telling whose a process is: a number that it carries, that every descendant inherits and that all may read.

The number is written where nothing else is: the soft limit on real-time CPU time, which the kernel enforces for
real-time processes alone, and which is years long here. Unlike a parent, a session, or the environment, it is not
lost when a daemon forks twice, calls setsid or writes over its environment, all of which PostgreSQL does; and
unlike the environment it is readable without the right to trace the process.

    stand (31 bits) | host number (8 bits) | program number (8 bits)
"""

import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress

SUITE = 0  # the host number of the stand's own processes
ANY_COMMAND = 0  # the program number of what is run by Host.argv


def brand(stand: int, host: int, program: int) -> int:
    """The number worn by a program's processes."""
    return stand << 16 | host << 8 | program


def stand_of(number: int) -> int:
    """The stand in a brand."""
    return number >> 16


def host_of(number: int) -> int:
    """The stand and the host in a brand."""
    return number >> 8


def wear(number: int) -> None:
    """Carry a brand from now on, and every process forked later."""
    resource.setrlimit(resource.RLIMIT_RTTIME, (number, resource.RLIM_INFINITY))


def wearing_argv(number: int) -> list[str]:
    """What to put before a command so that it wears a brand."""
    return ["prlimit", f"--rttime={number}:unlimited"]


def wearers(match: Callable[[int], bool]) -> list[int]:
    """The living processes in sight whose brand matches."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if (number := _worn_by(pid)) is not None and match(number) and _lives(pid)]


def _worn_by(pid: int) -> int | None:
    soft, _, _ = _read(pid, "limits").partition("Max realtime timeout")[2].strip().partition(" ")
    return int(soft) if soft.isdigit() else None


def _lives(pid: int) -> bool:
    """Not gone, and not a zombie."""
    return _read(pid, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"], ["X"])


def _read(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # it is gone
        return ""


def send(pids: list[int], number: signal.Signals) -> None:
    """Signal all of them; who is gone already is passed over."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def freeze(match: Callable[[int], bool]) -> list[int]:
    """SIGSTOP to all whose brand matches, and to what they forked meanwhile; returns them."""
    frozen: set[int] = set()
    while fresh := [pid for pid in wearers(match) if pid not in frozen]:
        send(fresh, signal.SIGSTOP)
        frozen.update(fresh)
    return sorted(frozen)


def kill(match: Callable[[int], bool]) -> list[int]:
    """SIGKILL to all whose brand matches, at once: none lives to see another die. Returns them.

    Repeat it until it returns none: a process may have been in the middle of a fork.
    """
    doomed = freeze(match)
    send(doomed, signal.SIGKILL)
    return doomed
