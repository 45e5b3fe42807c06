"""Faults of processes and hosts: crash, freeze, kill, restart, lost data; and how to find a server's processes."""

import shutil
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from support.errors import Inconclusive
from support.hosts import Host, Process
from support.waiting import NotYet

DATA = "data"
"""The data directory of a member's PostgreSQL, in the directory of its host."""


@dataclass(frozen=True)
class HostCrash:
    """Every process of the host is gone at once. What they wrote stays, synced or not: the page cache is not lost."""

    host: Host

    @property
    def silences(self) -> list[str]:
        """The hosts that answer nothing, and do nothing, while the fault lasts."""
        return [self.host.name]

    def __str__(self) -> str:
        return f"the host {self.host.name} crashes"

    def inject(self) -> None:
        self.host.power_off()

    def require_in_effect(self) -> None:
        if self.host.powered:
            raise NotYet(f"{self.host.name} is on")

    def heal(self) -> None:
        self.host.power_on()


class EveryHostCrashes:
    """Every process of all hosts is gone at once. What they wrote stays, synced or not: the page cache is not lost."""

    def __init__(self, hosts: Collection[Host]) -> None:
        self._hosts = hosts

    @property
    def silences(self) -> list[str]:
        """The hosts that answer nothing, and do nothing, while the fault lasts."""
        return [host.name for host in self._hosts]

    def __str__(self) -> str:
        return f"the hosts {', '.join(host.name for host in self._hosts)} crash at once"

    def inject(self) -> None:
        with ThreadPoolExecutor(len(self._hosts)) as each:
            list(each.map(Host.power_off, self._hosts))

    def require_in_effect(self) -> None:
        if on := [host.name for host in self._hosts if host.powered]:
            raise NotYet(f"on are {', '.join(on)}")

    def heal(self) -> None:
        for host in self._hosts:
            host.power_on()


@dataclass(frozen=True)
class Freeze:
    """The host's programs are suspended: not dead, not answering, as in a long pause of a virtual machine."""

    host: Host

    @property
    def silences(self) -> list[str]:
        """The hosts that answer nothing, and do nothing, while the fault lasts."""
        return [self.host.name]

    def __str__(self) -> str:
        return f"the host {self.host.name} freezes"

    def inject(self) -> None:
        for process in self.host.processes.values():
            process.pause()

    def require_in_effect(self) -> None:
        for process in running(self.host):
            if process.status() != psutil.STATUS_STOPPED:
                raise NotYet(f"{process.name()} ({process.pid}) is {process.status()}")

    def heal(self) -> None:
        for process in self.host.processes.values():
            process.resume()


@dataclass(frozen=True)
class Kill:
    """A program and all that it started are killed at once (kill -9); its host stays up."""

    process: Process

    def __str__(self) -> str:
        return f"{self.process.name} on {self.process.host} is killed"

    def inject(self) -> None:
        self.process.kill()

    def require_in_effect(self) -> None:
        if self.process.pid is not None:
            raise NotYet(f"it runs as {self.process.pid}")

    def heal(self) -> None:
        self.process.start()


class Restart:
    """A program is killed with all its sessions (kill -9), and started again at once."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._before = process.pid

    def __str__(self) -> str:
        return f"{self._process.name} on {self._process.host} is killed and started again"

    def inject(self) -> None:
        self._process.kill()
        self._process.start()

    def require_in_effect(self) -> None:
        """A different process runs than before."""
        now = self._process.pid
        if now is None or now == self._before:
            raise NotYet(f"it runs as {now}, before as {self._before}")

    def heal(self) -> None:
        self._process.start()


class ProxyReloaded:
    """HAProxy is reloaded: another process takes all new sessions, and the former one only ends those that it has."""

    def __init__(self, proxy: Process, host: Host) -> None:
        self._former, self._host = proxy, host
        self._next: Process | None = None

    def __str__(self) -> str:
        return f"{self._former.name} on {self._host.name} is reloaded"

    def inject(self) -> None:
        former = psutil.Process(self._former.pid)
        self._next = self._host.add(f"{self._former.name} reloaded", [*former.cmdline(), "-sf", str(former.pid)])
        self._next.start()

    def require_in_effect(self) -> None:
        """The former process takes no new sessions; it may be gone already."""
        if self._next is None or self._next.pid is None:
            raise NotYet("the next process does not run")
        if (pid := self._former.pid) is not None:
            with suppress(psutil.NoSuchProcess):
                if any(one.status == psutil.CONN_LISTEN for one in psutil.Process(pid).net_connections("tcp")):
                    raise NotYet("the former process listens")

    def heal(self) -> None:
        """Run it as before. Its sessions end."""
        if self._next is not None:
            self._next.kill()
            self._former.kill()
            self._former.start()
            self._next = None


class PatroniFrozen:
    """Patroni alone is suspended on a member; its PostgreSQL runs on, and knows nothing of what happens meanwhile."""

    unaware = True
    """Until it is healed, and for a moment after that, the member cannot know that another one leads."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._suspended: psutil.Process | None = None

    @property
    def silences(self) -> list[str]:
        """The hosts about whose writes nothing is to be concluded while the fault lasts: clients tell of them."""
        return [self._host.name]

    def __str__(self) -> str:
        return f"the Patroni of {self._host.name} is suspended"

    def inject(self) -> None:
        if (pid := self._host.processes["patroni"].pid) is None:
            raise Inconclusive(f"no Patroni ran on {self._host.name}")
        self._suspended = psutil.Process(pid)
        self._suspended.suspend()

    def require_in_effect(self) -> None:
        if self._suspended is None or self._suspended.status() != psutil.STATUS_STOPPED:
            raise NotYet("it is not suspended")

    def heal(self) -> None:
        if self._suspended is not None:
            resume([self._suspended])


class PostgresKilled:
    """PostgreSQL alone is killed on a member, with all its backends; its Patroni keeps running."""

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

    def require_in_effect(self) -> None:
        if not self._killed:
            raise Inconclusive(f"no PostgreSQL ran on {self.host.name}")
        if alive := [one.pid for one in self._killed if _lives(one)]:
            raise NotYet(f"still there: {alive}")

    def heal(self) -> None:
        """Nothing to do: Patroni starts PostgreSQL again; that is the promise under test."""


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


class DataDestroyed:
    """A member's PostgreSQL is killed and its data directory is gone; its Patroni keeps running."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._data: Path = host.directory / DATA
        self._remains = self._data.with_name(f"{DATA}.destroyed")
        self._killed = PostgresKilled(host)

    def __str__(self) -> str:
        return f"the data directory of {self.host.name} is destroyed"

    def inject(self) -> None:
        self._data.rename(self._remains)  # all at once: Patroni can start nothing from it
        self._killed.inject()

    def require_in_effect(self) -> None:
        self._killed.require_in_effect()

    def heal(self) -> None:
        """Remove what is left of the old data. Patroni copies the data anew; that is the promise under test."""
        shutil.rmtree(self._remains, ignore_errors=True)


def running(host: Host) -> list[psutil.Process]:
    """Every process of the host's programs, including those that left their parent, as PostgreSQL does."""
    found = []
    for process in host.processes.values():
        for pid in process.pids:
            with suppress(psutil.NoSuchProcess):  # it has just ended
                found.append(psutil.Process(pid))
    return found


def server_processes(host: Host, kind: str) -> list[psutil.Process]:
    """The PostgreSQL processes of one kind ("startup", "walreceiver", ...) on a host, by their process titles."""
    return [process for process in running(host) if _is(process, kind)]


def _is(process: psutil.Process, kind: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        title = " ".join(process.cmdline())
        return title.startswith("postgres:") and f" {kind}" in title
    return False


def resume(processes: Iterable[psutil.Process]) -> None:
    """Resume suspended processes; those that have ended are skipped."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()
