"""The cluster under test as the steps see it: endpoints to log in to, members by role, Patroni's view."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import redis
import requests

from support import sql
from support.errors import NotAvailable
from support.example_app.known_profiles import EXAMPLE
from support.example_app.profile import Profile
from support.expectations import AcceptedLoss
from support.hosts import Sandbox, attach
from support.hosts.interface import Site
from support.hosts.remote import HostAccess, RemoteSite
from support.sql import Endpoint
from support.target.patroni import ClusterView, PatroniApi
from support.target.redis import client_of, primaries_of, scan, unlink
from support.target.topology import Address, Login, MemberAddress, RedisAddress, StatisticsPage, Topology
from support.timeouts import SCAN
from support.waiting import NotYet

_NODE = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid = %s AND noderole = 'primary'"
_SITES: dict[str, RemoteSite] = {}


def site_of(hosts: Mapping[str, HostAccess]) -> RemoteSite:
    """A user's hosts; the same object for the same hosts, as it knows what it has done to them."""
    return _SITES.setdefault(repr(sorted(hosts.items())), RemoteSite(hosts))


class Cluster:
    """One group of members that replicate from one leader, and the endpoints that lead to it.

    Without sharding, that is the whole cluster. Of a Citus cluster it is the coordinator's group unless another is
    given; `groups` has one Cluster for each. Everything here only reads, except for `site`, by which faults reach
    the hosts, and `sandbox`, which is the site of an embedded cluster.
    """

    def __init__(self, topology: Topology, group: int = 0) -> None:
        self.topology, self.group = topology, group
        self._answered_last = ""

    @cached_property
    def groups(self) -> "tuple[Cluster, ...]":
        """Every group of the cluster, the coordinator's first."""
        return tuple(self if group == self.group else Cluster(self.topology, group) for group in self.topology.groups)

    def of_group(self, group: int) -> "Cluster":
        """One of the groups. Raises LookupError if there is no such group."""
        for one in self.groups:
            if one.group == group:
                return one
        raise LookupError(f"no group {group}; there are {', '.join(map(str, self.topology.groups))}")

    def worker_group(self, number: int) -> "Cluster":
        """The worker group with this number in scenarios, which count them from 1, in the order of Citus' numbers.

        Citus' numbers can have gaps where a group was removed. Raises LookupError if there are fewer groups.
        """
        workers = [one for one in self.groups if one.group]
        if not 1 <= number <= len(workers):
            there = ", ".join(str(one.group) for one in workers) or "none"
            raise LookupError(f"there is no worker group {number} (worker groups by Citus' numbers: {there})")
        return workers[number - 1]

    def group_with(self, member: str) -> "Cluster":
        """The group of a member; this group for any other name."""
        return next((one for one in self.groups if member in one.members), self)

    def with_tables_of(self, schema: str, path: str = "public") -> "Cluster":
        """This cluster, with logins that first find the tables of that schema, which are the example profile's.

        The logins then search the schemas of `path`, written as in `search_path`.
        """
        escaped = path.replace("\\", "\\\\").replace(" ", "\\ ")  # as libpq's options want it
        example, search = EXAMPLE.with_vectors(self.profile.entries.vector), f"-c search_path={schema},{escaped}"

        def searching(parameters: Mapping[str, str]) -> Mapping[str, str]:
            return {**parameters, "options": f"{parameters.get('options', '')} {search}".strip()}

        topology = replace(self.topology, options=searching(self.topology.options), profile=example)
        if "options" in topology.read_options:  # there, they replace those of the other endpoints
            topology = replace(topology, read_options=searching(topology.read_options))
        return Cluster(topology, self.group)

    def with_copies_in(self, schema: str) -> "Cluster":
        """This cluster, with the copies of the application's tables in that schema instead of the tables."""
        return Cluster(replace(self.topology, profile=self.profile.in_schema(schema)), self.group)

    @property
    def profile(self) -> Profile:
        """Which of the application's tables plays which part."""
        return self.topology.profile

    @property
    def accepted_loss(self) -> AcceptedLoss:
        """How many acknowledged writes a failover of this group may lose."""
        return self.topology.accepted_loss.get(self.group, AcceptedLoss(group=self.group))

    # Endpoints

    @property
    def write(self) -> Endpoint:
        """The write endpoint, as the application; for a worker group, the node to which Citus sends queries."""
        return self._write_endpoint(self.topology.application)

    @property
    def read(self) -> Endpoint:
        """The read endpoint, as the application."""
        if self.topology.read is None:
            raise NotAvailable("the target has no read endpoint (HAPROXY_REPLICA_PORT, RUVECTOR_READ_URL)")
        if self.group:
            raise NotAvailable(f"no read endpoint leads to worker group {self.group}")
        return self.topology.endpoint("read", self.topology.application)

    def of_member(self, name: str) -> Endpoint:
        """A member's PostgreSQL, past the proxy, as the application."""
        return self._endpoint(f"member {name}", self._postgres_of(name), self.topology.application)

    def administration_of(self, name: str) -> Endpoint:
        """A member's PostgreSQL, past the proxy, as a superuser."""
        return self._endpoint(f"member {name}", self._postgres_of(name), self._administrator)

    def monitoring_of(self, name: str) -> Endpoint:
        """A member's PostgreSQL, past the proxy, as a superuser where one is known, else as the application."""
        return self.of_member(name) if self.topology.administrator is None else self.administration_of(name)

    def at_node(self, address: Address) -> Endpoint:
        """A Citus node, by its address in pg_dist_node, as the application."""
        return self._endpoint(f"the node {address}", self._reached_at(address), self.topology.application)

    def _postgres_of(self, name: str) -> Address:
        member = self.address_of(name)
        if member.unreached:
            raise NotYet(member.unreached)
        return member.postgres

    def _reached_at(self, address: Address) -> Address:
        return self.topology.nodes.get(str(address), address)

    @property
    def administration(self) -> Endpoint:
        """The write endpoint, as a superuser."""
        return self._write_endpoint(self._administrator)

    def _write_endpoint(self, login: Login) -> Endpoint:
        if self.group == 0:
            return self.topology.endpoint("write", login)
        return self._endpoint(f"the node of worker group {self.group}", self._node, login)

    @property
    def _node(self) -> Address:
        """The node of the worker group."""
        coordinator = self.of_group(0).write
        nodes = sql.rows(coordinator, _NODE, [self.group])
        if len(nodes) != 1:
            raise NotYet(f"the coordinator knows {len(nodes)} primary nodes of worker group {self.group}")
        return self._reached_at(Address(*nodes[0]))

    @property
    def _administrator(self) -> Login:
        if self.topology.administrator is None:
            raise NotAvailable(
                "no superuser's login is known for the target (ACCEPT_ADMIN_USER, ACCEPT_ADMIN_PASSWORD)"
            )
        return self.topology.administrator

    def _endpoint(self, name: str, address: Address, login: Login) -> Endpoint:
        return self.topology.endpoint_at(name, address, login)

    # Members

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all members of the group, whatever their role and state."""
        return tuple(member.name for member in self.topology.members if member.group == self.group)

    @property
    def everyone(self) -> tuple[str, ...]:
        """The names of the members of all groups."""
        return tuple(member.name for member in self.topology.members)

    @property
    def has_patroni(self) -> bool:
        """Whether the REST API of any member of the group is known."""
        return any(member.rest for member in self.topology.members if member.group == self.group)

    @cached_property
    def as_declared(self) -> "Cluster":
        """This group, including the declared members that did not answer when the run began."""
        topology = self.topology
        return Cluster(replace(topology, members=(*topology.members, *topology.absent), absent=()), self.group)

    def address_of(self, name: str) -> MemberAddress:
        """The addresses of a member of any group."""
        for member in self.topology.members:
            if member.name == name:
                return member
        raise LookupError(f"no member {name!r}; there are {', '.join(self.everyone) or 'none'}")

    def patroni(self, name: str) -> PatroniApi:
        """The REST API of one member, which should be the one that answers there.

        Raises NotYet if only other members' are known, NotAvailable if none is.
        """
        member = self.address_of(name)
        if member.rest is None and self.group_with(name).has_patroni:
            raise NotYet("the address of its Patroni is not known ([members])")
        if member.rest is None:
            raise NotAvailable(f"no Patroni REST API is known for member {name}")
        return PatroniApi(member.rest, self.topology.patroni_access, name)

    def view(self) -> ClusterView:
        """Patroni's view of the group now, from the first member that answers. Raises NotYet if none does.

        The member that answered last time is asked first, so as not to wait each time for one that is down.
        """
        refused = []
        for name in sorted(self.members, key=lambda name: name != self._answered_last):
            try:
                view = self.patroni(name).cluster()
                self._answered_last = name
                return view
            except (requests.RequestException, ValueError, NotYet, NotAvailable) as error:
                refused.append(f"{name}: {type(error).__name__}")
        raise NotYet(f"no member's Patroni answered ({', '.join(refused) or 'no members are known'})")

    def leader(self) -> str:
        """The name of the leader now. Raises NotYet while there is none."""
        leading = self.view().leader
        if leading is None:
            raise NotYet(f"group {self.group} has no leader")
        return leading.name

    def replicas(self) -> tuple[str, ...]:
        """The names of the other members that Patroni knows now."""
        return tuple(member.name for member in self.view().replicas)

    def followers(self) -> tuple[str, ...]:
        """The names of the members that do not lead now, up or down."""
        leader = self.leader()
        return tuple(name for name in self.members if name != leader)

    # The cache

    @property
    def redis_address(self) -> RedisAddress:
        """Where Redis is, and how to log in there. Raises NotAvailable if the target has none."""
        if self.topology.redis is None:
            raise NotAvailable("the target has no Redis (REDIS_HOST)")
        return self.topology.redis

    def redis(self) -> redis.Redis:
        """A direct client of Redis, bypassing the application's cache. Raises NotAvailable if the target has none."""
        return client_of(self.redis_address)

    @property
    def statistics_page(self) -> StatisticsPage:
        """HAProxy's statistics page. Raises NotAvailable where the target has none."""
        if self.topology.statistics is None:
            raise NotAvailable("no statistics page of HAProxy is known (HAPROXY_STATS_URL)")
        return self.topology.statistics

    def forget_cached(self, prefix: str) -> int:
        """Delete all cached keys with that prefix; returns how many there were. Does nothing without a Redis.

        In a Redis with very many keys, finding them is left off after a while: what is left there expires by itself.
        """
        if self.topology.redis is None or "cache_keys" in self.topology.lacks:
            return 0
        deleted, until = 0, time.monotonic() + SCAN
        for server in primaries_of(self.topology.redis):
            with client_of(server) as client:
                deleted += sum(unlink(client, keys) for keys in scan(client, prefix, until))
        return deleted

    # The machines below

    @cached_property
    def sandbox(self) -> Sandbox:
        """The sandbox of an embedded cluster. Raises NotAvailable for any other cluster."""
        if self.topology.sandbox is None:
            raise NotAvailable("the suite did not boot this cluster: it cannot reach its hosts")
        return replace(attach(self.topology.sandbox), annex=self.topology.annex)

    @cached_property
    def site(self) -> Site:
        """The hosts of the cluster, ours or the user's. Raises NotAvailable if the suite has no access to them."""
        if self.topology.hosts:
            site = site_of(self.topology.hosts)
            site.guards.let_last(self.topology.timing.longest_fault)
            return site
        return self.sandbox
