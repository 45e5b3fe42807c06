"""Faults of processes and hosts: crash, freeze, kill, restart, lost data; and how to find a server's processes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from support.errors import Inconclusive, ProcessFailed
from support.faults.nemesis import Fault
from support.hosts.interface import Running, SiteHost, SiteProgram, on_each
from support.hosts.processes import first_of
from support.target.member_files import files_of
from support.waiting import NotYet


@dataclass(frozen=True)
class HostCrash(Fault):
    """Every process of the host is gone at once. What they wrote stays, synced or not: the page cache is not lost."""

    host: SiteHost

    @property
    def silences(self) -> list[str]:
        """See Fault."""
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


class EveryHostCrashes(Fault):
    """Every process of all hosts is gone at once. What they wrote stays, synced or not: the page cache is not lost."""

    def __init__(self, hosts: Collection[SiteHost]) -> None:
        self._hosts = hosts

    @property
    def silences(self) -> list[str]:
        """See Fault."""
        return [host.name for host in self._hosts]

    def __str__(self) -> str:
        return f"the hosts {', '.join(host.name for host in self._hosts)} crash at once"

    def inject(self) -> None:
        on_each(self._hosts, lambda host: host.power_off())

    def require_in_effect(self) -> None:
        if on := [host.name for host in self._hosts if host.powered]:
            raise NotYet(f"on are {', '.join(on)}")

    def heal(self) -> None:
        """At once: a node of the DCS may not have started before others have."""
        on_each(self._hosts, lambda host: host.power_on())


@dataclass(frozen=True)
class Freeze(Fault):
    """The host's programs are suspended: not dead, not answering, as in a long pause of a virtual machine."""

    unaware = True
    host: SiteHost

    @property
    def silences(self) -> list[str]:
        """See Fault."""
        return [self.host.name]

    def __str__(self) -> str:
        return f"the host {self.host.name} freezes"

    def inject(self) -> None:
        self.host.freeze()

    def require_in_effect(self) -> None:
        if awake := self.host.awake():
            raise NotYet("; ".join(awake))

    def heal(self) -> None:
        self.host.thaw()


@dataclass
class Kill(Fault):
    """A program and all that it started are killed at once (kill -9); its host stays up."""

    process: SiteProgram
    _lasting: bool = False

    def __str__(self) -> str:
        return f"{self.process.name} on {self.process.host} is killed"

    def inject(self) -> None:
        self.process.kill()

    def require_in_effect(self) -> None:
        if self.process.pid is not None:
            raise NotYet(f"it runs as {self.process.pid}")
        self._lasting = True

    def heal(self) -> None:
        """Raises Inconclusive if somebody else has started it before."""
        early = self._lasting and self._runs()
        self._lasting = False
        self.process.start()
        if early:
            raise Inconclusive(
                f"{self.process.name} on {self.process.host} was started by somebody else while it had to stay down"
            )

    def _runs(self) -> bool:
        try:
            return self.process.pid is not None
        except ProcessFailed:  # its host does not answer; to start it is tried in any case
            return False


class Restart(Fault):
    """A program is killed with all its sessions (kill -9), and started again at once."""

    def __init__(self, process: SiteProgram) -> None:
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


class _Suspended(Fault):
    """Some processes of a host are suspended, and resumed when it is healed."""

    def __init__(self, host: SiteHost) -> None:
        self._host = host
        self._suspended: list[Running] = []

    def require_in_effect(self) -> None:
        if not all(one.stopped for one in self._host.alive(self._suspended)):
            raise NotYet("it is not suspended")

    def heal(self) -> None:
        self._host.resume(self._suspended)


class PatroniFrozen(_Suspended):
    """Patroni alone is suspended on a member; its PostgreSQL runs on, and knows nothing of what happens meanwhile."""

    unaware = True

    @property
    def silences(self) -> list[str]:
        """See Fault: it answers and takes writes, and clients tell of them."""
        return [self._host.name]

    def __str__(self) -> str:
        return f"the Patroni of {self._host.name} is suspended"

    def inject(self) -> None:
        patroni = self._host.processes["patroni"].pid
        self._suspended = [one for one in self._host.running() if one.pid == patroni]
        if not self._suspended:
            raise Inconclusive(f"no Patroni ran on {self._host.name}")
        self._host.suspend(self._suspended, may_die=False)


class PostgresHangs(_Suspended):
    """PostgreSQL alone hangs on a member: every process of it is suspended, none is gone; its Patroni runs on."""

    unaware = True

    @property
    def silences(self) -> list[str]:
        """See Fault."""
        return [self._host.name]

    def __str__(self) -> str:
        return f"PostgreSQL on {self._host.name} hangs"

    def inject(self) -> None:
        if postmaster := postmaster_of(self._host):  # first: what it has begun to start is found then
            self._suspend([postmaster])
            self._suspend(first_of(self._host.running(), "postgres"))

    def require_in_effect(self) -> None:
        if not self._suspended:
            raise Inconclusive(f"no PostgreSQL ran on {self._host.name}")
        if awake := [one for one in first_of(self._host.running(), "postgres") if not one.stopped and not one.over]:
            self._suspend(awake)
            raise NotYet(f"not suspended: {', '.join(one.title for one in awake)}")

    def _suspend(self, processes: Sequence[Running]) -> None:
        self._suspended += processes  # before: they are resumed whatever happens
        self._host.suspend(processes)


class PostmasterHangs(_Suspended):
    """The postmaster of a member alone is suspended: its sessions go on, and no new one can be opened."""

    def __str__(self) -> str:
        return f"the postmaster on {self._host.name} hangs"

    def inject(self) -> None:
        if postmaster := postmaster_of(self._host):
            self._suspended = [postmaster]
            self._host.suspend(self._suspended)

    def require_in_effect(self) -> None:
        if not self._suspended:
            raise Inconclusive(f"no PostgreSQL ran on {self._host.name}")
        super().require_in_effect()


class PostgresKilled(Fault):
    """PostgreSQL alone is killed on a member, with all its backends; its Patroni keeps running."""

    def __init__(self, host: SiteHost) -> None:
        self.host = host
        self._killed: list[Running] = []

    def __str__(self) -> str:
        return f"PostgreSQL on {self.host.name} is killed"

    def inject(self) -> None:
        self._killed = first_of(self.host.running(), "postgres")
        self.host.kill(self._killed)

    def require_in_effect(self) -> None:
        if not self._killed:
            raise Inconclusive(f"no PostgreSQL ran on {self.host.name}")
        if alive := [one.pid for one in self.host.alive(self._killed)]:
            raise NotYet(f"still there: {alive}")

    def heal(self) -> None:
        """Nothing to do: Patroni starts PostgreSQL again; that is the promise under test."""


class DataDestroyed(Fault):
    """A member's PostgreSQL is killed and its data directory is gone; its Patroni keeps running."""

    def __init__(self, host: SiteHost) -> None:
        self.host = host
        self._files = files_of(host)
        self._killed: Sequence[Running] = ()

    def __str__(self) -> str:
        return f"the data directory of {self.host.name} is destroyed"

    def inject(self) -> None:
        self._killed = self._files.destroy_data()

    def require_in_effect(self) -> None:
        if not self._killed:
            raise Inconclusive(f"no PostgreSQL ran on {self.host.name}")
        if alive := [one.pid for one in self.host.alive(self._killed)]:
            raise NotYet(f"still there: {alive}")

    def heal(self) -> None:
        """Remove what is left of the old data. Patroni copies the data anew; that is the promise under test."""
        self._files.discard_destroyed()


def postmaster_of(host: SiteHost) -> Running | None:
    """The first process of a host's PostgreSQL, which lets clients in and starts all others; None if none runs."""
    candidates = [one for one in first_of(host.running(), "postgres") if not one.title.startswith("postgres:")]
    return min(candidates, key=lambda one: one.started, default=None)


def server_processes(host: SiteHost, kind: str) -> list[Running]:
    """The PostgreSQL processes of one kind ("startup", "walreceiver", ...) on a host, by their process titles."""
    return [one for one in host.running() if one.title.startswith("postgres:") and f" {kind}" in one.title]
