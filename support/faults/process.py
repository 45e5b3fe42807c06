"""Faults of processes and of whole hosts: crash, freeze, clean stop."""

from contextlib import suppress
from dataclasses import dataclass

import psutil

from support.errors import Inconclusive
from support.hosts import Host, Process
from support.waiting import NotYet


@dataclass(frozen=True)
class HostCrash:
    """Every process of the host is gone at once, as by a power cut; its disk is as the crash left it."""

    host: Host

    def __str__(self) -> str:
        return f"the host {self.host.name} crashes"

    def inject(self) -> None:
        self.host.power_off()

    def require_bitten(self) -> None:
        if self.host.powered:
            raise NotYet(f"{self.host.name} is on")

    def cure(self) -> None:
        self.host.power_on()


@dataclass(frozen=True)
class Freeze:
    """The host's programs stand still: not dead, not answering, as in a long pause of a virtual machine."""

    host: Host

    def __str__(self) -> str:
        return f"the host {self.host.name} freezes"

    def inject(self) -> None:
        for process in self.host.processes.values():
            process.pause()

    def require_bitten(self) -> None:
        for process in running(self.host):
            if process.status() != psutil.STATUS_STOPPED:
                raise NotYet(f"{process.name()} ({process.pid}) is {process.status()}")

    def cure(self) -> None:
        for process in self.host.processes.values():
            process.resume()


@dataclass(frozen=True)
class Kill:
    """A program of a host and all that it started are gone at once (kill -9); the host stays."""

    process: Process

    def __str__(self) -> str:
        return f"{self.process.name} on {self.process.host} is killed"

    def inject(self) -> None:
        self.process.kill()

    def require_bitten(self) -> None:
        if self.process.pid is not None:
            raise NotYet(f"it runs as {self.process.pid}")

    def cure(self) -> None:
        self.process.start()


class PostgresKilled:
    """PostgreSQL alone is killed on a member, with all its backends; Patroni lives on beside it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._killed: list[psutil.Process] = []

    def __str__(self) -> str:
        return f"PostgreSQL on {self.host.name} is killed"

    def inject(self) -> None:
        self._killed = sorted(_postgres_of(self.host), key=lambda process: process.pid)  # their parent first
        for process in self._killed:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def require_bitten(self) -> None:
        if not self._killed:
            raise Inconclusive(f"no PostgreSQL ran on {self.host.name}")
        if alive := [one.pid for one in self._killed if _lives(one)]:
            raise NotYet(f"still there: {alive}")

    def cure(self) -> None:
        """Patroni starts it again by itself; that is the promise under test."""


def _postgres_of(host: Host) -> list[psutil.Process]:
    found = []
    for process in running(host):
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith("postgres"):
                found.append(process)
    return found


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running(host: Host) -> list[psutil.Process]:
    """Every process of the host's programs, also those that left their parent, as PostgreSQL does."""
    found = []
    for process in host.processes.values():
        for pid in process.pids:
            with suppress(psutil.NoSuchProcess):  # it has just ended
                found.append(psutil.Process(pid))
    return found
