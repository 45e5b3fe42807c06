"""What every stand offers, whatever it is made of."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Process(Protocol):
    """A supervised program on a host, known by (host, name). Handles of several suite processes may coexist."""

    name: str
    log: Path
    """Standard output and error of every incarnation, appended."""

    @property
    def pid(self) -> int | None:
        """Process id as the suite sees it, or None when it does not run (never a zombie)."""

    def start(self) -> None:
        """Start it, or do nothing when it runs. Raises ProcessFailed when it cannot be executed."""

    def stop(self, within: float = 10.0) -> None:
        """SIGTERM, then SIGKILL when it is not gone in time; returns when it and its descendants are gone."""

    def kill(self) -> None:
        """SIGKILL to it and all its descendants at once; returns when they are gone."""

    def pause(self) -> None:
        """SIGSTOP to it and all its descendants (a freeze)."""

    def resume(self) -> None:
        """SIGCONT to what was paused. Harmless when nothing is."""


class Host(Protocol):
    """One machine of the embedded cluster."""

    name: str
    address: str
    directory: Path
    """Its own directory for configuration, data and logs; survives a power-off."""

    @property
    def processes(self) -> Mapping[str, Process]:
        """Every program ever added here, by name, running or not."""

    def add(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
        """Declare a program of this host (not started yet). The declaration survives a power-off."""

    def argv(self, command: Sequence[str]) -> list[str]:
        """The argument vector that runs `command` on this host, as the user that its programs run as."""

    def run(self, command: Sequence[str], timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end; output captured. Raises ProcessFailed with its output on failure."""

    def power_off(self) -> None:
        """Every process of the host is gone at once, as by a power cut; returns when none is left."""

    def power_on(self) -> None:
        """The host is there again, and its declared programs that ran at the power-off are started."""


class Stand(Protocol):
    """A set of hosts that can reach one another, and nobody else."""

    kind: str
    """"namespaces" or "loopback"."""
    directory: Path

    @property
    def hosts(self) -> Mapping[str, Host]: ...

    def add_host(self, name: str, number: int) -> Host:
        """Make a host. `number` (2 to 250) is the last part of its address."""

    def publish(self, listeners: Mapping[str, int]) -> None:
        """Serve the sockets bound at the stand's creation (see `Published`); name -> see create()."""

    def close(self) -> None:
        """Kill everything on the stand, and undo what it made. Harmless when repeated."""
