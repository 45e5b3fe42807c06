"""Temporary changes of a target's settings: the note that each leaves in the target, and what became of the change.

A note holds the previous values, and is removed when they are restored. Even if the process that made the change was
killed, `accept heal` or the next run finds the note, from any machine.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from support.run import Life

LONGEST = 1800.0
"""Seconds after which the process that made a change is taken to be gone, if that cannot be seen from here: no scenario
takes this long."""
_START_TIME = 19  # the field of /proc/PID/stat, counted after the name; the first one is the state
_ENDED = ("Z", "X")


@dataclass(frozen=True)
class Note:
    """What a change has replaced, and who made it."""

    name: str
    """Where it is: a key of Patroni's dynamic configuration, or of Redis."""
    why: str
    machine: str
    """Tells apart machines, since each of their boots, and containers with processes of their own."""
    host: str
    """The name of the machine, for people."""
    process: str
    """`pid:start`."""
    since: float
    """Seconds since the epoch."""
    before: Mapping[str, Any]
    """The values that give it back."""

    @classmethod
    def of_this_process(cls, name: str, why: str, before: Mapping[str, Any]) -> Self:
        """The note of a change that this process is about to make."""
        return cls(name, why, _this_machine(), os.uname().nodename, _started(str(os.getpid())), time.time(), before)

    @property
    def text(self) -> str:
        """As a text: in a value with parts, Patroni would take a null for the command to remove it."""
        return json.dumps({name: value for name, value in vars(self).items() if name != "name"})

    @property
    def life(self) -> Life:
        """Whether the process that made the change is still there, as far as is known here."""
        if self.machine != _this_machine():
            return Life.UNKNOWN if time.time() - self.since < LONGEST else Life.OVER
        return Life.GOING_ON if _started(self.process.partition(":")[0]) == self.process else Life.OVER

    @property
    def keys(self) -> str:
        """What it changed."""
        return ", ".join(_keys(self.before))

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"{self.keys} ({self.why}, by a run on {self.host} since {when})"


@dataclass(frozen=True)
class GivenBack:
    """What was found of changes that others have made; each line is about one."""

    done: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Not given back: the process that made the change may still be running, or the values are refused."""
    notes: tuple[Note, ...] = ()
    """The notes of what was given back, as far as they are known."""

    def __add__(self, other: "GivenBack") -> "GivenBack":
        return GivenBack((*self.done, *other.done), (*self.kept, *other.kept), (*self.notes, *other.notes))

    @classmethod
    def of(cls, done: Iterable[Note], kept: Iterable[Note]) -> "GivenBack":
        """`kept` are those of runs that may be going on."""
        undone = tuple(done)
        return cls(
            tuple(f"{one}: given back" for one in undone),
            tuple(f"{one}: if that run is over, ./accept heal gives it back" for one in kept),
            undone,
        )


def _keys(command: Mapping[str, Any]) -> Iterable[str]:
    for name, value in command.items():
        if isinstance(value, Mapping) and value:
            yield from (f"{name}.{further}" for further in _keys(value))
        else:
            yield name


def _this_machine() -> str:
    """Processes of two machines with the same text are the same processes."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"


def _started(pid: str) -> str:
    """A process as `pid:start`; empty if there is none with that id, or if it has ended and nobody has reaped it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return "" if fields[0] in _ENDED else f"{pid}:{fields[_START_TIME]}"
    except (OSError, IndexError):
        return ""
