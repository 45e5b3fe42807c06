"""A power failure of everything, which loses what no one has synced: the kernel's page cache, too, is only memory.

Killing all processes of a host leaves the page cache of the machine that they ran on as it was, so a server that never
flushes its writes would survive it. Therefore the data of every host is put on a disk with a volatile cache first.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from support.engine.world import World
from support.errors import ProcessFailed
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.faults.process import HostCrash
from support.hosts import Host
from support.hosts.interface import on_each
from support.hosts.unsynced import Lost
from support.target.cluster import Cluster
from support.target.health import await_all
from support.target.member_files import DATA
from support.waiting import NotYet

_PROBE = "accept.probe"
_SYNCED, _UNSYNCED = "synced", " and not synced"
_PLACE, _APPEND = 'printf %s "$1" > "$0" && sync "$0"', 'printf %s "$1" >> "$0"'
_FILE_SYSTEM = ["stat", "--file-system", "--format=%T"]


class VolatileDisks(Fault):
    """The data of each of these hosts is on a disk with a volatile cache; they are restarted for that, all at once.

    Each disk gets a file whose second half is never synced. Whether the disk then loses it is seen, not assumed.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.hosts: Sequence[Host] = [one for one in cluster.sandbox.hosts.values() if (one.directory / DATA).is_dir()]

    def told(self, names: Names) -> str:
        return f"the data of {' and '.join(host.name for host in self.hosts)} is on disks with a volatile cache"

    def inject(self) -> None:
        for host in self.hosts:
            host.set_volatile(host.directory / DATA, True)
        self._restart()
        on_each(self.hosts, lambda host: host.run(["sh", "-c", _PLACE, str(_probe_of(host)), _SYNCED]))

    def require_in_effect(self) -> None:
        for host in self.hosts:
            if not host.run([*_FILE_SYSTEM, str(host.directory / DATA)]).stdout.startswith("fuse"):
                raise NotYet(f"{host.name} has no such disk")

    def heal(self) -> None:
        """Back to the original disks; returns when the cluster is healthy again, as later scenarios expect."""
        for host in self.hosts:
            host.set_volatile(host.directory / DATA, False)
        self._restart()
        for host in self.hosts:
            _probe_of(host).unlink(missing_ok=True)
        await_all(self._cluster, self._cluster.topology.timing.recovery)

    def _restart(self) -> None:
        on_each(self.hosts, Host.power_off)
        on_each(self.hosts, Host.power_on)


class PowerFailure(Fault):
    """All hosts lose their power at once, and their volatile disks what was not synced."""

    def __init__(self, hosts: Sequence[Host], volatile: Sequence[Host]) -> None:
        """`volatile`: those of the hosts that have such a disk."""
        self._crash, self._volatile = HostCrash(*hosts), volatile
        self.lost: Mapping[str, Lost] = {}
        """What each of them lost, by its name."""

    @property
    def silences(self) -> list[str]:
        """See Fault."""
        return self._crash.silences

    @property
    def whole_hosts(self) -> list[str]:
        """See Fault."""
        return self.silences

    def told(self, names: Names) -> str:
        volatile = names.each(host.name for host in self._volatile)
        return f"the power fails everywhere; {volatile} lose what was not synced"

    def inject(self) -> None:
        on_each(self._volatile, lambda host: host.run(["sh", "-c", _APPEND, str(_probe_of(host)), _UNSYNCED]))
        self._crash.inject()
        lost = {}
        for host in self._volatile:
            (lost[host.name],) = host.lose_unsynced().values()
        self.lost = lost

    def require_in_effect(self) -> None:
        """Every host is off, and of the file on each disk exactly what was synced is left."""
        self._crash.require_in_effect()
        for host in self._volatile:
            if (left := _probe_of(host).read_text()) != _SYNCED:
                raise NotYet(f"on the disk of {host.name}, {left!r} is left of {_SYNCED + _UNSYNCED!r}")

    def heal(self) -> None:
        self._crash.heal()


def put_on_volatile_disks(world: World) -> None:
    """Put the data of every host on a disk with a volatile cache until the scenario ends."""
    world.experiment.prepare(VolatileDisks(world.cluster), until_end=True)
    await_all(world.cluster, world.timing.recovery)


def fail_power(world: World) -> None:
    """All hosts lose their power at once. Raises ProcessFailed if none has a disk with a volatile cache."""
    cluster = world.cluster
    hosts = list(cluster.sandbox.hosts.values())
    volatile = [host for host in hosts if _probe_of(host).exists()]
    if not volatile:
        raise ProcessFailed("no host has a disk with a volatile cache, so a power failure would lose nothing")
    failure = PowerFailure(hosts, volatile)
    world.experiment.inject(failure, cluster.leader())
    lines = [f"{name}: {one.files} files, {one.names} names" for name, one in failure.lost.items()]
    world.evidence.attach("returned to what was synced", "\n".join(lines))


def _probe_of(host: Host) -> Path:
    return host.directory / DATA / _PROBE
