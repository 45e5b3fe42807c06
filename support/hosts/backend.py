"""What a sandbox is made of: the interface that namespaces and loopback implement, and the records they work on."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

from support.hosts import kernel
from support.hosts.switch import Switch
from support.hosts.volatile import VolatileDisk


@dataclass
class Program:
    """A declared program: how to start it, and whether it runs."""

    number: int
    argv: list[str]
    env: dict[str, str]
    log: Path
    pid: int | None = None
    ran_at_power_off: bool = False


@dataclass
class Machine:
    """A host as the supervisor knows it."""

    name: str
    number: int
    address: str
    directory: Path
    programs: dict[str, Program] = field(default_factory=dict)
    powered: bool = False
    volatile: dict[Path, VolatileDisk] = field(default_factory=dict)
    """The directories that lose what was not synced when the power fails."""
    init: int | None = None
    """The first process of its PID namespace. While it exists, something of the host is left."""


class Backend(Protocol):
    """How to make hosts and run programs on them. The supervisor alone calls it."""

    def address(self, number: int) -> str:
        """The address of the host with that number."""

    def introduce(self, machines: Sequence[Machine]) -> None:
        """Let the hosts resolve one another's names."""

    def power_on(self, machine: Machine) -> None:
        """Make the host reachable, and ready to run programs."""

    def power_off(self, machine: Machine) -> list[int]:
        """Kill everything on the host at once; returns what was still there. Call it again until nothing is."""

    def give_disk(self, machine: Machine, place: Path, megabytes: int) -> None:
        """Mount an empty disk of that size at a directory of the host, until its next power-off.

        Raises NotAvailable where hosts have no disks of their own.
        """

    def volatile_disk(self, machine: Machine, place: Path) -> VolatileDisk:
        """Control over a directory of the host that loses what was not synced. It has no effect until it is mounted.

        Raises NotAvailable where hosts have no mounts of their own, or where there is no FUSE.
        """

    def kill(self, match: Callable[[int], bool]) -> list[int]:
        """Kill all processes whose tag matches, at once; returns them. Call it again until there are none."""

    def prefix(self, machine: Machine) -> list[str]:
        """The words before a command that make it run on the host, as the user that programs run as."""

    def switch(self) -> Switch:
        """The switch between the hosts. Raises NotAvailable where there is none."""

    def spawn(self, machine: Machine, program: Program) -> int:
        """Start a program in a session of its own; returns its pid. Raises OSError when it cannot be executed."""


def become(program: Program, argv: Sequence[str], directory: Path) -> NoReturn:
    """Turn this freshly forked process into the program: own session, log, working directory, default signals."""
    os.setsid()
    log = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, log, log)):
        os.dup2(source, target)
    kernel.default_signals()
    os.chdir(directory)
    os.execvpe(argv[0], list(argv), program.env)
