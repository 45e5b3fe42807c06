"""A cluster that is decided upon: its layout, the addresses of its hosts, the programs to run, fresh passwords."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from support.embedded.layout import Layout, PlannedHost, Role
from support.embedded.programs import Programs
from support.embedded.shape import Shape
from support.example_app.known_profiles import KNOWN
from support.example_app.vectors import PGVECTOR, RUVECTOR, VectorDialect
from support.hosts.probing import LOOPBACK
from support.target.topology import Address, Login, MemberAddress, RedisAddress, StatisticsPage, Topology

POSTGRES, PATRONI_API, ETCD_CLIENTS, ETCD_PEERS, REDIS = 5432, 8008, 2379, 2380, 6379
PUBLISHED = ("write", "read", "statistics", "redis")
"""What can be reached from outside the sandbox, by the names under which the sandbox publishes it."""
ALL, POOLER = "all", "pooler"
"""What else is published of a cluster that is met from outside only, beside each member and each node of etcd."""


def api_of(member: str) -> str:
    """The name under which a member's REST API is published."""
    return f"{member} api"


@dataclass(frozen=True)
class Credentials:
    """Every login of one cluster; made for it, and for no other."""

    administrator: Login
    application: Login
    replication: Login
    rewind: Login | None
    patroni_api: Login | None
    statistics: Login | None
    redis: str | None = field(repr=False)

    @classmethod
    def fresh(cls, shape: Shape) -> "Credentials":
        """New passwords for everything that a cluster of that shape asks a password for."""
        application = _fresh(shape.application)
        page = shape.proxy.login if shape.proxy else None
        return cls(
            administrator=application if shape.superuser_application else _fresh("postgres"),
            application=application,
            replication=_fresh("replicator"),
            rewind=_fresh("rewinder") if shape.rewind_role else None,
            patroni_api=_fresh("patroni") if shape.rest_login else None,
            statistics=_fresh(page.user) if page and not page.password else page,
            redis=secrets.token_urlsafe() if shape.cache.password else None,
        )


def _fresh(user: str) -> Login:
    return Login(user, secrets.token_urlsafe())


@dataclass(frozen=True)
class Plan:
    """All that configuration files are written from. `addresses`: host name -> IP address."""

    layout: Layout
    programs: Programs
    addresses: Mapping[str, str]
    credentials: Credentials
    one_network: bool = False
    """All hosts share one network, and so one 127.0.0.1."""
    dialect: VectorDialect = PGVECTOR
    """Of the vector extension that the application uses."""

    @property
    def preloaded(self) -> tuple[str, ...]:
        """The libraries that PostgreSQL loads at its start for the vector extension."""
        return ("ruvector",) if self.dialect is RUVECTOR else ()

    def address(self, host: str, port: int) -> Address:
        """Where a port of a host is."""
        return Address(self.addresses[host], port)

    def advertised(self, host: str, port: int) -> Address:
        """What the hosts are told of where a port of a host is."""
        return Address(host, port) if self.layout.shape.advertises_names else self.address(host, port)

    def addresses_of(self, role: Role, port: int) -> tuple[Address, ...]:
        """The same port of every host of a role."""
        return tuple(self.address(host.name, port) for host in self.layout.hosts(role))

    def targets(self) -> dict[str, tuple[str, int]]:
        """Where each name that `published` lists leads to."""
        return {name: (self.addresses[host], port) for name, (host, port) in _services(self.layout).items()}

    def topology(self, sandbox: Path, kind: str) -> Topology:
        """The cluster as its clients see it, in the sandbox of that kind that lives in that directory."""
        logins, shape = self.credentials, self.layout.shape
        proxy, dcs = shape.proxy, self.addresses_of(Role.ETCD, ETCD_CLIENTS)
        members = tuple(self._member(host) for host in self.layout.hosts(Role.MEMBER))
        further = tuple(one.password for one in (logins.replication, logins.rewind) if one)
        topology = Topology(
            database=shape.database,
            application=logins.application,
            administrator=logins.administrator,
            write=members[0].postgres,
            members=members,
            dcs=dcs,
            scope=shape.scope if shape.patroni else "",
            patroni_login=logins.patroni_api if shape.patroni else None,
            redis=RedisAddress(self.address("redis", REDIS), logins.redis),
            profile=KNOWN[shape.tables].with_vectors(self.dialect.type),
            further_secrets=further,
            lacks=lacks(self.layout, kind, self.programs.missing.citus, ruvector_missing(self.dialect)),
            sandbox=sandbox,
        )
        if proxy is None:
            return topology
        write, read, *_ = proxy.routes
        page = f"http://{self.address('haproxy', proxy.statistics)}"
        return replace(
            topology,
            write=self.address("haproxy", write.port),
            read=self.address("haproxy", read.port),
            statistics=StatisticsPage(page, logins.statistics, (write.proxy,), (read.proxy,)),
        )

    def _member(self, host: PlannedHost) -> MemberAddress:
        rest = self.address(host.name, PATRONI_API) if self.layout.shape.patroni else None
        return MemberAddress(host.name, self.address(host.name, POSTGRES), rest, host.group)


def published(layout: Layout) -> tuple[str, ...]:
    """The names of all that can be reached from outside the sandbox."""
    return tuple(_services(layout))


def _services(layout: Layout) -> dict[str, tuple[str, int]]:
    """Published name -> the host that it leads to, and the port there."""
    everything = dict(_all_services(layout))
    return everything if layout.shape.outside else {name: everything[name] for name in PUBLISHED}


def _all_services(layout: Layout) -> Iterator[tuple[str, tuple[str, int]]]:
    shape = layout.shape
    if shape.proxy:
        for name, route in zip(("write", "read", ALL), shape.proxy.routes, strict=False):
            yield name, ("haproxy", route.port)
        if shape.proxy.known:
            yield "statistics", ("haproxy", shape.proxy.statistics)
    yield "redis", ("redis", REDIS)
    if shape.pooler:
        yield POOLER, ("pgbouncer", shape.pooler.port)
    for host in layout.hosts(Role.MEMBER):
        yield host.name, (host.name, POSTGRES)
        if shape.patroni:
            yield api_of(host.name), (host.name, PATRONI_API)
    for host in layout.hosts(Role.ETCD):
        yield host.name, (host.name, ETCD_CLIENTS)


def ruvector_missing(dialect: VectorDialect) -> str:
    """Why a cluster whose application uses that extension has no RuVector; empty where it has."""
    return "" if dialect is RUVECTOR else f"the vectors are of {dialect.extension} (--vector ruvector)"


def lacks(layout: Layout, kind: str, citus_missing: str, ruvector_missing: str) -> dict[str, str]:
    """What such a cluster has not in a sandbox of that kind, by capability, each with the reason.

    `citus_missing` says why its PostgreSQL has no Citus; it is empty where it has. So does `ruvector_missing`.
    """
    found = dict.fromkeys(("tls", "verified_tls"), "the embedded cluster does without: its network is its own")
    if not layout.workers:
        found["citus"] = citus_missing or "the embedded cluster has no worker groups (--workers)"
    if ruvector_missing:
        found["ruvector"] = ruvector_missing
    if layout.members == 1:
        found["replicas"] = "the embedded cluster has a single member (--members)"
    if not layout.shape.synchronous:
        found["synchronous"] = "the embedded cluster replicates asynchronously"
    if layout.etcd < 3:
        found["spare_dcs"] = f"the embedded cluster has {layout.etcd} etcd nodes (--etcd), none to spare"
    if kind == LOOPBACK:
        found["partitions"] = "not available in a loopback sandbox: its hosts share one network"
    shape = layout.shape
    absent = {
        "patroni": shape.patroni,
        "dcs": shape.patroni,
        "patroni_login": shape.patroni and shape.rest_login,
        "haproxy": shape.proxy,
        "statistics": shape.proxy,
        "redis_password": shape.cache.password,
    }
    return found | {name: f"a cluster like {shape.name} has none" for name, there in absent.items() if not there}
