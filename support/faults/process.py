"""Faults of processes and hosts: crash, freeze, kill, restart, lost data; and how to find a server's processes.

The functions at the end make the faults that scenarios name by the role of a host.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from support.errors import Inconclusive, ProcessFailed
from support.faults.naming import Names
from support.faults.nemesis import FaultOnHosts
from support.faults.roles import host_of
from support.hosts.interface import Running, SiteHost, SiteProgram, on_each
from support.hosts.processes import first_of
from support.target.cluster import Cluster
from support.target.member_files import files_of
from support.waiting import NotYet


class _OfOneHost(FaultOnHosts):
    """A fault of one host, or of something on it."""

    def __init__(self, host: SiteHost) -> None:
        self.host = host

    @property
    def target_member(self) -> str:
        """See Fault."""
        return self.host.name


class HostCrash(FaultOnHosts):
    """Every process of these hosts is gone at once. What they wrote stays, synced or not: no page cache is lost."""

    def __init__(self, *hosts: SiteHost) -> None:
        self._hosts = hosts

    @property
    def target_member(self) -> str:
        """See Fault."""
        return self.silences[0]

    @property
    def silences(self) -> list[str]:
        """See Fault."""
        return [host.name for host in self._hosts]

    @property
    def whole_hosts(self) -> list[str]:
        """See Fault."""
        return self.silences

    def told(self, names: Names) -> str:
        if len(self._hosts) == 1:
            return f"the {names.host(self.target_member)} crashes"
        return f"the {names.hosts(self.silences)} crash at once"

    def on_hosts(self) -> None:
        on_each(self._hosts, lambda host: host.power_off())

    def require_in_effect(self) -> None:
        if on := [host.name for host in self._hosts if host.powered]:
            raise NotYet("; ".join(f"{name} is on" for name in on))

    def heal(self) -> None:
        """At once: a node of the DCS may not have started before others have."""
        on_each(self._hosts, lambda host: host.power_on())


class Freeze(_OfOneHost):
    """The host's programs are suspended: not dead, not answering, as in a long pause of a virtual machine."""

    unaware = True

    @property
    def silences(self) -> list[str]:
        """See Fault."""
        return [self.host.name]

    @property
    def whole_hosts(self) -> list[str]:
        """See Fault."""
        return self.silences

    def told(self, names: Names) -> str:
        return f"the {names.host(self.host.name)} freezes"

    def on_hosts(self) -> None:
        self.host.freeze()

    def require_in_effect(self) -> None:
        if awake := self.host.awake():
            raise NotYet("; ".join(awake))

    def heal(self) -> None:
        self.host.thaw()


@dataclass
class Kill(FaultOnHosts):
    """A program and all that it started are killed at once (kill -9); its host stays up."""

    process: SiteProgram
    _lasting: bool = False

    @property
    def target_member(self) -> str:
        """See Fault."""
        return self.process.host

    def told(self, names: Names) -> str:
        return f"{names.program(self.process.name, self.process.host)} is killed"

    def on_hosts(self) -> None:
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


class Restart(FaultOnHosts):
    """A program is killed with all its sessions (kill -9), and started again at once."""

    def __init__(self, process: SiteProgram) -> None:
        self.process = process
        self._before = process.pid

    @property
    def target_member(self) -> str:
        """See Fault."""
        return self.process.host

    def told(self, names: Names) -> str:
        return f"{names.program(self.process.name, self.process.host)} is killed and started again"

    def on_hosts(self) -> None:
        self.process.kill()
        self.process.start()

    def require_in_effect(self) -> None:
        """A different process runs than before."""
        now = self.process.pid
        if now is None or now == self._before:
            raise NotYet(f"it runs as {now}, before as {self._before}")

    def heal(self) -> None:
        self.process.start()


class _Suspended(_OfOneHost):
    """Some processes of a host are suspended, and resumed when it is healed."""

    def __init__(self, host: SiteHost) -> None:
        super().__init__(host)
        self._suspended: list[Running] = []

    def require_in_effect(self) -> None:
        if not all(one.stopped for one in self.host.alive(self._suspended)):
            raise NotYet("it is not suspended")

    def heal(self) -> None:
        self.host.resume(self._suspended)


class PatroniFrozen(_Suspended):
    """Patroni alone is suspended on a member; its PostgreSQL runs on, and knows nothing of what happens meanwhile."""

    unaware = True

    @property
    def silences(self) -> list[str]:
        """See Fault: PostgreSQL still answers and accepts writes; clients check what becomes of them."""
        return [self.host.name]

    def told(self, names: Names) -> str:
        return f"the Patroni of {names.member(self.host.name)} is suspended"

    def on_hosts(self) -> None:
        self._suspended = _of_patroni(self.host.running(), self.host.processes["patroni"].pid)
        if not self._suspended:
            raise Inconclusive(f"no Patroni ran on {self.host.name}")
        self.host.suspend(self._suspended, may_die=False)


_OF_PYTHON = ("patroni", "python")
_FIRST_OF_CONTAINER = 1


def _of_patroni(running: Sequence[Running], first: int | None) -> list[Running]:
    """The processes of Patroni's own, by the id of its first one.

    As the first process of a container, Patroni only waits for another one, in which it does its work: a fork, or what
    multiprocessing starts. Where that first process is seen as such, it is left out: it knows and does nothing.
    """
    found = [one for one in running if one.pid == first]
    for known in found:
        found += [
            one
            for one in running
            if one.parent == known.pid
            and one.name.startswith(_OF_PYTHON)
            and (one.title == known.title or "multiprocessing" in one.title)
        ]
    return [one for one in found if one.pid != _FIRST_OF_CONTAINER] or found


class PostgresHangs(_Suspended):
    """PostgreSQL alone hangs on a member: every process of it is suspended, none is gone; its Patroni runs on."""

    unaware = True

    @property
    def silences(self) -> list[str]:
        """See Fault."""
        return [self.host.name]

    def told(self, names: Names) -> str:
        return f"PostgreSQL on {names.member(self.host.name)} hangs"

    def on_hosts(self) -> None:
        if postmaster := postmaster_of(self.host):  # first, so that a process that it is just starting is found below
            self._suspend([postmaster])
            self._suspend(first_of(self.host.running(), "postgres"))

    def require_in_effect(self) -> None:
        if not self._suspended:
            raise Inconclusive(f"no PostgreSQL ran on {self.host.name}")
        if awake := [one for one in first_of(self.host.running(), "postgres") if not one.stopped and not one.over]:
            self._suspend(awake)
            raise NotYet(f"not suspended: {', '.join(one.title for one in awake)}")

    def _suspend(self, processes: Sequence[Running]) -> None:
        self._suspended += processes  # before: they are resumed whatever happens
        self.host.suspend(processes)


class PostmasterHangs(_Suspended):
    """The postmaster of a member alone is suspended: its sessions go on, and no new one can be opened."""

    def told(self, names: Names) -> str:
        return f"the postmaster on {names.member(self.host.name)} hangs"

    def on_hosts(self) -> None:
        if postmaster := postmaster_of(self.host):
            self._suspended = [postmaster]
            self.host.suspend(self._suspended)

    def require_in_effect(self) -> None:
        if not self._suspended:
            raise Inconclusive(f"no PostgreSQL ran on {self.host.name}")
        super().require_in_effect()


class PostgresKilled(_OfOneHost):
    """PostgreSQL alone is killed on a member, with all its backends; its Patroni keeps running."""

    def __init__(self, host: SiteHost) -> None:
        super().__init__(host)
        self._killed: Sequence[Running] = ()

    def told(self, names: Names) -> str:
        return f"PostgreSQL on {names.member(self.host.name)} is killed"

    def on_hosts(self) -> None:
        self._killed = first_of(self.host.running(), "postgres")
        self.host.kill(self._killed)

    def require_in_effect(self) -> None:
        if not self._killed:
            raise Inconclusive(f"no PostgreSQL ran on {self.host.name}")
        if alive := [one.pid for one in self.host.alive(self._killed)]:
            raise NotYet(f"still there: {alive}")

    def heal(self) -> None:
        """Nothing to do: Patroni starts PostgreSQL again; that is the promise under test."""


class DataDestroyed(PostgresKilled):
    """A member's PostgreSQL is killed and its data directory is gone; its Patroni keeps running."""

    def __init__(self, host: SiteHost) -> None:
        super().__init__(host)
        self._files = files_of(host)

    def told(self, names: Names) -> str:
        return f"the data directory of {names.member(self.host.name)} is destroyed"

    def on_hosts(self) -> None:
        self._killed = self._files.destroy_data()

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


def crash(cluster: Cluster, role: str) -> HostCrash:
    """The host of the member with that role crashes. Like those below, raises Inconclusive if no member has it now."""
    return HostCrash(host_of(cluster, role))


def freeze(cluster: Cluster, role: str) -> Freeze:
    """The host of the member with that role freezes."""
    return Freeze(host_of(cluster, role))


def hanging_patroni(cluster: Cluster, role: str) -> PatroniFrozen:
    """The Patroni of the member with that role is suspended."""
    return PatroniFrozen(host_of(cluster, role))


def hanging_postgres(cluster: Cluster, role: str) -> PostgresHangs:
    """The PostgreSQL of the member with that role hangs."""
    return PostgresHangs(host_of(cluster, role))


def hanging_postmaster(cluster: Cluster, role: str) -> PostmasterHangs:
    """The postmaster of the member with that role hangs."""
    return PostmasterHangs(host_of(cluster, role))


def killed_postgres(cluster: Cluster, role: str) -> PostgresKilled:
    """The PostgreSQL of the member with that role is killed."""
    return PostgresKilled(host_of(cluster, role))


def destroyed_data(cluster: Cluster, role: str) -> DataDestroyed:
    """The data of the member with that role is destroyed."""
    return DataDestroyed(host_of(cluster, role))


def crash_of_member(cluster: Cluster, member: str) -> HostCrash:
    """The host of this member crashes."""
    return HostCrash(cluster.site.hosts[member])


def freeze_of_member(cluster: Cluster, member: str) -> Freeze:
    """The host of this member freezes."""
    return Freeze(cluster.site.hosts[member])


def crash_of_members(cluster: Cluster, names: Collection[str]) -> HostCrash:
    """The hosts of these members crash at once."""
    return HostCrash(*(cluster.site.hosts[name] for name in names))


def crash_of_replicas(cluster: Cluster) -> HostCrash:
    """The hosts of all members but the leader crash at once."""
    return crash_of_members(cluster, cluster.followers())


def crash_of_everything(cluster: Cluster) -> HostCrash:
    """Every host crashes at once."""
    return HostCrash(*cluster.site.hosts.values())
