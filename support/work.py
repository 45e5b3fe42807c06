"""The work of a run that several processes share: units of scenarios, and which process takes which.

A folder holds the units and what has been taken. Locks tell who is still working: the kernel releases them when a
process ends, however it ends.
"""

import fcntl
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import TypeAdapter

_LONGEST_NAME, _END = 200, 30  # bytes of a file name (255 are allowed); characters kept of a longer name


@dataclass(frozen=True)
class WorkQueue:
    """Work shared by several processes: each name goes to the process that takes it first.

    The queue is a folder, created on first use.
    """

    directory: Path

    def take(self, name: str) -> bool:
        """Take a name; returns whether this process got it. The kernel lets only one process create a folder."""
        try:
            self._folder(name).mkdir(parents=True)
        except FileExistsError:
            return False
        return True

    def taken(self, name: str) -> bool:
        """Whether any process has taken it."""
        return self._folder(name).exists()

    def _folder(self, name: str) -> Path:
        plain = name.replace("/", "-")
        if len(plain.encode()) > _LONGEST_NAME:
            plain = f"{hashlib.sha256(name.encode()).hexdigest()}-{plain[-_END:]}"
        return self.directory / plain


@dataclass(frozen=True)
class Unit:
    """Scenarios of one feature, which one process runs one after another."""

    feature: str
    """The feature file, as behave names it."""
    lines: tuple[int, ...]
    """Where the scenarios begin in it; of an outline, the row."""
    seconds: float = 1.0
    """Roughly how long they take."""
    sharded: bool = False
    """Whether the scenarios need worker groups."""
    alone: bool = False
    """Whether the scenarios measure speed, and need the machine for themselves."""

    @property
    def name(self) -> str:
        return f"{self.feature}:{self.lines[0]}"

    @property
    def places(self) -> tuple[str, ...]:
        """Where the scenarios are: file:line."""
        return tuple(f"{self.feature}:{line}" for line in self.lines)


_UNITS = TypeAdapter(tuple[Unit, ...])


@dataclass(frozen=True)
class SharedWork:
    """The units that the processes of a run share, in a folder of their own."""

    directory: Path

    def save(self, units: Iterable[Unit]) -> None:
        """Begin with these units, to be taken in this order."""
        self.directory.mkdir(mode=0o700)
        self._file.write_bytes(_UNITS.dump_json(tuple(units)))

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        return _UNITS.validate_json(self._file.read_bytes())

    def waiting(self, workers: bool, alone: bool) -> Iterator[Unit]:
        """The units that nobody has taken and that fit a cluster, those that only it can run first.

        `workers`: the cluster has worker groups. `alone`: those that need the machine for themselves, or the others.
        """
        fit = [one for one in self.units if one.alone == alone and (workers or not one.sharded)]
        for unit in sorted(fit, key=lambda one: not one.sharded):
            if not self._queue.taken(unit.name):
                yield unit

    def take(self, workers: bool, alone: bool) -> Unit | None:
        """Take the next such unit; None if none is left."""
        return next((one for one in self.waiting(workers, alone) if self._queue.take(one.name)), None)

    def attendance(self) -> "Attendance":
        """Take part in the work, for as long as this context or the process lasts."""
        return Attendance(self.directory)

    def runs_alone(self, workers: bool) -> bool:
        """Whether a process with such a cluster may run what needs the machine for itself.

        If any of that needs worker groups, one cluster that has them runs all of it: no other one has to stay up.
        """
        alone = [one for one in self.units if one.alone]
        return bool(alone) and (workers or not any(one.sharded for one in alone))

    @property
    def _file(self) -> Path:
        return self.directory / "units.json"

    @property
    def _queue(self) -> WorkQueue:
        return WorkQueue(self.directory / "taken")


class Attendance:
    """One process among those that share the work. A context manager; forked processes count as the same one."""

    def __init__(self, directory: Path) -> None:
        self._working = (directory / "working").open("w")
        self._last = (directory / "last").open("w")

    def __enter__(self) -> "Attendance":
        fcntl.flock(self._working, fcntl.LOCK_SH)
        return self

    def __exit__(self, *_: object) -> None:
        self._working.close()
        self._last.close()

    def stay(self) -> bool:
        """Out of work: whether this process stays for what needs the machine for itself. One stays, the others end."""
        try:
            fcntl.flock(self._last, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def await_others(self) -> None:
        """Wait until every other process has ended, and its cluster with it."""
        fcntl.flock(self._working, fcntl.LOCK_EX)
