"""A cluster that is decided upon: its layout, the addresses of its hosts, the programs to run, fresh passwords."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.cluster.embedded.layout import Layout, PlannedHost, Role
from support.cluster.embedded.programs import Programs
from support.cluster.topology import Address, Login, MemberAddress, RedisAddress, StatisticsPage, Topology
from support.hosts.probing import LOOPBACK

DATABASE = "accept"
POSTGRES, PATRONI_API, ETCD_CLIENTS, ETCD_PEERS, REDIS = 5432, 8008, 2379, 2380, 6379
WRITE, READ, STATISTICS = 5000, 5001, 7000  # HAProxy's
PUBLISHED = ("write", "read", "statistics", "redis")
"""What can be reached from outside the stand, by the names under which the stand publishes it."""


@dataclass(frozen=True)
class Credentials:
    """Every login of one cluster; made for it, and for no other."""

    administrator: Login
    application: Login
    replication: Login
    rewind: Login
    patroni_api: Login
    statistics: Login
    redis: str = field(repr=False)

    @classmethod
    def fresh(cls) -> "Credentials":
        """New passwords for everything."""
        return cls(
            administrator=_fresh("postgres"),
            application=_fresh("accept_app"),
            replication=_fresh("replicator"),
            rewind=_fresh("rewinder"),
            patroni_api=_fresh("patroni"),
            statistics=_fresh("statistics"),
            redis=secrets.token_urlsafe(),
        )


def _fresh(user: str) -> Login:
    return Login(user, secrets.token_urlsafe())


@dataclass(frozen=True)
class Plan:
    """All that configuration files are written from. `addresses`: host name -> IP address."""

    layout: Layout
    programs: Programs
    addresses: Mapping[str, str]
    one_network: bool = False
    """All hosts share one network, and so one 127.0.0.1."""
    credentials: Credentials = field(default_factory=Credentials.fresh)

    def address(self, host: str, port: int) -> Address:
        """Where a port of a host is."""
        return Address(self.addresses[host], port)

    def addresses_of(self, role: Role, port: int) -> tuple[Address, ...]:
        """The same port of every host of a role."""
        return tuple(self.address(host.name, port) for host in self.layout.hosts(role))

    def targets(self) -> dict[str, tuple[str, int]]:
        """Where each name of PUBLISHED leads to."""
        haproxy, redis = self.addresses["haproxy"], self.addresses["redis"]
        return {
            "write": (haproxy, WRITE),
            "read": (haproxy, READ),
            "statistics": (haproxy, STATISTICS),
            "redis": (redis, REDIS),
        }

    def topology(self, stand: Path, kind: str) -> Topology:
        """The cluster as its clients see it, on the stand of that kind that lives in that directory."""
        logins = self.credentials
        page = f"http://{self.address('haproxy', STATISTICS)}"
        return Topology(
            database=DATABASE,
            application=logins.application,
            administrator=logins.administrator,
            write=self.address("haproxy", WRITE),
            read=self.address("haproxy", READ),
            members=tuple(self._member(host) for host in self.layout.hosts(Role.MEMBER)),
            dcs=self.addresses_of(Role.ETCD, ETCD_CLIENTS),
            scope=self.layout.scope,
            patroni_login=logins.patroni_api,
            statistics=StatisticsPage(page, logins.statistics),
            redis=RedisAddress(self.address("redis", REDIS), logins.redis),
            further_secrets=tuple(one.password for one in (logins.replication, logins.rewind)),
            lacks=lacks(self.layout, kind, self.programs.citus_missing),
            stand=stand,
        )

    def _member(self, host: PlannedHost) -> MemberAddress:
        postgres, rest = self.address(host.name, POSTGRES), self.address(host.name, PATRONI_API)
        return MemberAddress(host.name, postgres, rest, host.group)


def lacks(layout: Layout, kind: str, citus_missing: str) -> dict[str, str]:
    """What such a cluster has not on a stand of that kind, by capability, each with the reason.

    `citus_missing` says why its PostgreSQL has no Citus; it is empty where it has.
    """
    found = dict.fromkeys(("tls", "verified_tls"), "the embedded cluster does without: its network is its own")
    if not layout.workers:
        found["citus"] = citus_missing or "the embedded cluster has no worker groups (--workers)"
    if layout.members == 1:
        found["replicas"] = "the embedded cluster has a single member (--members)"
    if not layout.synchronous:
        found["synchronous"] = "the embedded cluster replicates asynchronously"
    if layout.etcd < 3:
        found["spare_dcs"] = f"the embedded cluster has {layout.etcd} etcd nodes (--etcd), none to spare"
    if kind == LOOPBACK:
        found["partitions"] = "not available on a loopback stand: its hosts share one network"
    return found
