"""What the supervisor knows of its hosts, and what the two kinds of sandbox must be able to do with them."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

from support.hosts import kernel
from support.hosts.switch import Switch


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
    init: int | None = None
    """The first process of its pid namespace; while there is one, something of the host is left."""


class Backend(Protocol):
    """What hosts are made of. All of it is called in the supervisor."""

    def address(self, number: int) -> str:
        """The address of the host with that number."""

    def introduce(self, machines: Sequence[Machine]) -> None:
        """Let the hosts know one another by name."""

    def power_on(self, machine: Machine) -> None:
        """Make it reachable, and ready to run programs."""

    def power_off(self, machine: Machine) -> list[int]:
        """Kill all that is on it at once; returns what was still there. Called again until nothing is."""

    def give_disk(self, machine: Machine, place: Path, megabytes: int) -> None:
        """Put a disk of its own, empty and no larger than that, at a directory of the host, until its next power-off.

        Raises NotAvailable where hosts have no disks of their own.
        """

    def kill(self, match: Callable[[int], bool]) -> list[int]:
        """Kill all whose tag matches at once; returns them. Called again until there are none."""

    def prefix(self, machine: Machine) -> list[str]:
        """What to put before a command so that it runs there, as the programs' user."""

    def switch(self) -> Switch:
        """What its packets go through. Raises NotAvailable when nothing of that kind can be led astray."""

    def spawn(self, machine: Machine, program: Program) -> int:
        """Start a program in a session of its own; returns its pid. Raises OSError when it cannot be executed."""


def become(program: Program, argv: Sequence[str], directory: Path) -> NoReturn:
    """Turn this freshly forked process into the program: own session, log, working directory, usual signals."""
    os.setsid()
    log = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, log, log)):
        os.dup2(source, target)
    kernel.usual_signals()
    os.chdir(directory)
    os.execvpe(argv[0], list(argv), program.env)
