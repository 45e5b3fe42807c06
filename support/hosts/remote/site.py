"""The hosts of a user's cluster: machines, and containers."""

from collections.abc import Callable, Mapping

from support.hosts.interface import SiteHost
from support.hosts.remote.access import HostAccess
from support.hosts.remote.container_hosts import ContainerHost
from support.hosts.remote.containers import Container
from support.hosts.remote.guards import Guards
from support.hosts.remote.machines import RemoteHost
from support.hosts.remote.network import RemoteNetwork
from support.hosts.remote.reach import Sent


class RemoteSite:
    """The hosts of a user's cluster."""

    kind = "the user's own"

    def __init__(self, access: Mapping[str, HostAccess], guards: Guards | None = None) -> None:
        self.guards = guards or Guards()
        self.sent: list[Sent] = []
        """Every command that changed something, in order."""
        self.machines = {name: _host_of(name, one, self.guards, self.sent.append) for name, one in access.items()}
        self.network = RemoteNetwork(self.machines)

    @property
    def hosts(self) -> Mapping[str, SiteHost]:
        return self.machines

    def take_sent(self) -> list[Sent]:
        """The commands that were sent since the last call."""
        sent = list(self.sent)
        del self.sent[: len(sent)]
        return sent


def _host_of(name: str, access: HostAccess, guards: Guards, note: Callable[[Sent], None]) -> RemoteHost:
    if container := Container.of(access.reach):
        return ContainerHost(name, access, guards, note, container)
    return RemoteHost(name, access, guards, note)
