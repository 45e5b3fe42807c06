"""The cluster under test as the steps see it: endpoints to log in to, members by role, views of it."""

from functools import cached_property

import redis
import requests

from support.cluster.patroni import ClusterView, PatroniApi
from support.cluster.redis_server import client_of
from support.cluster.topology import Address, Login, MemberAddress, Topology
from support.errors import NotAvailable
from support.hosts import attach
from support.hosts.stand import Stand
from support.sql import Endpoint
from support.timeouts import REST
from support.waiting import NotYet


class Cluster:
    """Reads only, but for `stand`, through which faults reach the hosts of an embedded cluster."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._spokesman = ""

    # Endpoints

    @property
    def write(self) -> Endpoint:
        """The write endpoint, as the application."""
        return self._endpoint("the write endpoint", self.topology.write, self.topology.application)

    @property
    def read(self) -> Endpoint:
        """The read endpoint, as the application."""
        if self.topology.read is None:
            raise NotAvailable("the target has no read endpoint (HAPROXY_REPLICA_PORT)")
        return self._endpoint("the read endpoint", self.topology.read, self.topology.application)

    def of_member(self, name: str) -> Endpoint:
        """A member's PostgreSQL, past the proxy, as the application."""
        return self._endpoint(f"member {name}", self.address_of(name).postgres, self.topology.application)

    def administration_of(self, name: str) -> Endpoint:
        """A member's PostgreSQL, past the proxy, as a superuser."""
        return self._endpoint(f"member {name}", self.address_of(name).postgres, self._administrator)

    @property
    def administration(self) -> Endpoint:
        """The write endpoint, as a superuser."""
        return self._endpoint("the write endpoint", self.topology.write, self._administrator)

    @property
    def _administrator(self) -> Login:
        if self.topology.administrator is None:
            raise NotAvailable(
                "no superuser's login is known for the target (ACCEPT_ADMIN_USER, ACCEPT_ADMIN_PASSWORD)"
            )
        return self.topology.administrator

    def _endpoint(self, name: str, address: Address, login: Login) -> Endpoint:
        return Endpoint(
            name, address.host, address.port, self.topology.database, login.user, login.password, self.topology.options
        )

    # Members

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members, leader or not, up or not."""
        return tuple(member.name for member in self.topology.members)

    def address_of(self, name: str) -> MemberAddress:
        for member in self.topology.members:
            if member.name == name:
                return member
        raise LookupError(f"no member {name!r}; there are {', '.join(self.members) or 'none'}")

    def patroni(self, name: str) -> PatroniApi:
        """The REST API of one member."""
        rest = self.address_of(name).rest
        if rest is None:
            raise NotAvailable(f"no Patroni REST API is known for member {name}")
        return PatroniApi(rest)

    def view(self) -> ClusterView:
        """What Patroni says of the cluster now, asked of the first member that answers. Raises NotYet if none does.

        Who answered the last time is asked first: one that is down would be waited for each time.
        """
        refused = []
        for name in sorted(self.members, key=lambda name: name != self._spokesman):
            try:
                view = self.patroni(name).cluster()
                self._spokesman = name
                return view
            except (requests.RequestException, ValueError, NotYet) as error:
                refused.append(f"{name}: {type(error).__name__}")
        raise NotYet(f"no member's Patroni answered ({', '.join(refused) or 'no members are known'})")

    def leader(self, group: int = 0) -> str:
        """The name of the leader now. Raises NotYet while there is none."""
        for member in self.view().members:
            if member.leads and member.group == group:
                return member.name
        raise NotYet(f"group {group} has no leader")

    def replicas(self, group: int = 0) -> tuple[str, ...]:
        """The names of the other members of the group that Patroni knows now."""
        return tuple(member.name for member in self.view().members if not member.leads and member.group == group)

    def followers(self, group: int = 0) -> tuple[str, ...]:
        """The names of the members of the group that do not lead now, whether they are up or not."""
        leader = self.leader(group)
        return tuple(one.name for one in self.topology.members if one.group == group and one.name != leader)

    # The cache

    def redis(self, timeout: float = REST) -> redis.Redis:
        """A client of Redis, past the application's cache; `timeout` in seconds bounds each of its answers."""
        if self.topology.redis is None:
            raise NotAvailable("the target has no Redis (REDIS_HOST)")
        return client_of(self.topology.redis, timeout)

    def forget_cached(self, prefix: str) -> int:
        """Delete every cached key that begins so; returns how many there were. Nothing to do without a Redis."""
        if self.topology.redis is None:
            return 0
        with self.redis() as client:
            found = list(client.scan_iter(match=f"{prefix}*", count=1000))
            return sum(int(client.unlink(key)) for key in found)

    # The machines below

    @cached_property
    def stand(self) -> Stand:
        """The stand of an embedded cluster. Raises NotAvailable for a cluster that we did not boot."""
        if self.topology.stand is None:
            raise NotAvailable("the target is not a cluster of ours: its hosts are out of reach")
        return attach(self.topology.stand)
