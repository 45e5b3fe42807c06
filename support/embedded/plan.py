"""The plan of an embedded cluster: its hosts, their roles and addresses, the programs to run, fresh passwords."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from support.embedded.certificates import Authority
from support.embedded.programs import Programs
from support.embedded.shape import OWN, Shape
from support.errors import UsageError
from support.example_app.known_profiles import EXAMPLE, KNOWN
from support.example_app.vectors import PGVECTOR, RUVECTOR, VectorDialect
from support.hosts import FIRST_ANNEX, LOOPBACK, why_not_fuse
from support.setting_values import MOST_MEMBERS
from support.target.replica_capabilities import OF_ANY, OF_SEVERAL
from support.target.topology import (
    PLAIN,
    Address,
    Login,
    MemberAddress,
    RedisAddress,
    StatisticsPage,
    Topology,
    WebAccess,
)

POSTGRES, PATRONI_API, ETCD_CLIENTS, ETCD_PEERS, REDIS = 5432, 8008, 2379, 2380, 6379
ZOOKEEPER_ELECTION, RAFT = 3888, 2222
PUBLISHED = ("write", "read", "statistics", "redis")
"""The names under which the sandbox publishes what can be reached from outside."""
ALL, POOLER = "all", "pooler"
"""Published too, like each member and each etcd node, where a cluster is reached from outside only."""
HAPROXY_NUMBER, REDIS_NUMBER, POOLER_NUMBER = 2, 3, 4  # of hosts: the last part of the address
FIRST_ETCD, MOST_ETCD = 11, 9
FIRST_MEMBER = 21  # of group 0; every further group takes the next ten numbers
MOST_WORKERS = 20
ANNEX_OFFSET = 228
"""Added to the numbers of an annex's hosts, which are FIRST_ANNEX and higher: HAProxy's is 2."""


_LOCAL = ("localhost", "127.0.0.1")
"""How the member's own programs reach it, and clients outside the sandbox, where it is published."""
_REPLICATION, _REWIND = "replicator", "rewinder"


class Role(StrEnum):
    """The purpose of a host."""

    ETCD = "etcd"
    MEMBER = "member"
    HAPROXY = "haproxy"
    REDIS = "redis"
    POOLER = "pooler"


@dataclass(frozen=True)
class PlannedHost:
    """A host that the cluster needs. `number` is the last part of its address, `group` its Citus group."""

    name: str
    number: int
    role: Role
    group: int = 0


@dataclass(frozen=True)
class Layout:
    """The size and shape of a cluster. Raises UsageError for an impossible size."""

    members: int = 3
    """PostgreSQL servers that clients reach; with workers, the coordinator's group."""
    workers: int = 0
    """Citus worker groups; with none, nothing is sharded."""
    worker_members: int = 2
    """PostgreSQL servers of each worker group."""
    etcd: int = 3
    """Nodes of etcd; ignored without Patroni, as nothing else needs them."""
    shape: Shape = OWN

    def __post_init__(self) -> None:
        for what, count, least, most in (
            ("members", self.members, 1, MOST_MEMBERS),
            ("etcd nodes", self.etcd, 1, MOST_ETCD),
            ("worker groups", self.workers, 0, MOST_WORKERS),
            ("members in a worker group", self.worker_members, 1, MOST_MEMBERS),
        ):
            if not least <= count <= most:
                raise UsageError(f"an embedded cluster can have {least} to {most} {what}, not {count}")
        assert HAPROXY_NUMBER + ANNEX_OFFSET == FIRST_ANNEX
        if not self.shape.patroni and (self.members > 1 or (self.workers and self.worker_members > 1)):
            raise UsageError(f"a cluster like {self.shape.name} has no replicas: each of its servers stands alone")

    def hosts(self, role: Role | None = None) -> tuple[PlannedHost, ...]:
        """Every host, or those of one role, in the order in which they are started."""
        offset = ANNEX_OFFSET if self.shape.annex else 0
        wanted = (host for host in self._all() if role in (None, host.role))
        return tuple(replace(host, number=host.number + offset) for host in wanted)

    @property
    def groups(self) -> range:
        """The numbers of its groups: 0 for the coordinator, then one for each worker group."""
        return range(self.workers + 1)

    def members_of(self, group: int) -> tuple[PlannedHost, ...]:
        """The members of one group: pg1, pg2, ... of group 0; worker1a, worker1b, ... of a worker group."""
        pattern, count = (self.shape.worker, self.worker_members) if group else (self.shape.member, self.members)
        names = [pattern.format(group=group, number=n + 1, letter=ascii_lowercase[n]) for n in range(count)]
        first = FIRST_MEMBER + 10 * group
        return tuple(PlannedHost(name, first + n, Role.MEMBER, group) for n, name in enumerate(names))

    def _all(self) -> tuple[PlannedHost, ...]:
        shape = self.shape
        etcd = (
            PlannedHost(shape.etcd_node.format(number=n + 1), FIRST_ETCD + n, Role.ETCD)
            for n in range(self.etcd if shape.patroni and shape.dcs != "raft" else 0)
        )
        members = (host for group in self.groups for host in self.members_of(group))
        haproxy = (PlannedHost(shape.haproxy, HAPROXY_NUMBER, Role.HAPROXY),) if shape.proxy else ()
        redis = (PlannedHost("redis", REDIS_NUMBER, Role.REDIS),) if shape.cache else ()
        pooler = (PlannedHost("pgbouncer", POOLER_NUMBER, Role.POOLER),) if shape.pooler else ()
        return (*etcd, *members, *haproxy, *redis, *pooler)


def api_of(member: str) -> str:
    """The name under which a member's REST API is published."""
    return f"{member} api"


@dataclass(frozen=True)
class Credentials:
    """All logins of one cluster, freshly made for it."""

    administrator: Login
    application: Login
    replication: Login
    rewind: Login | None
    patroni_api: Login | None
    statistics: Login | None
    redis: str | None = field(repr=False)

    @classmethod
    def fresh(cls, shape: Shape) -> "Credentials":
        """New passwords for everything that needs one in a cluster of that shape."""
        application = _fresh(shape.application)
        page = shape.proxy.login if shape.proxy else None
        return cls(
            administrator=application if shape.superuser_application else _fresh("postgres"),
            application=application,
            replication=_fresh(_REPLICATION),
            rewind=_fresh(_REWIND) if shape.rewind_role else None,
            patroni_api=_fresh("patroni") if shape.rest_login else None,
            statistics=_fresh(page.user) if page and not page.password else page,
            redis=secrets.token_urlsafe() if shape.cache and shape.cache.password else None,
        )

    @classmethod
    def of(cls, topology: Topology) -> "Credentials":
        """The logins of an embedded cluster of our own shape, for an annex: no further secrets have to be masked."""
        replication, rewind = topology.further_secrets
        assert topology.administrator is not None
        return cls(
            administrator=topology.administrator,
            application=topology.application,
            replication=Login(_REPLICATION, replication),
            rewind=Login(_REWIND, rewind),
            patroni_api=topology.patroni_login,
            statistics=topology.statistics.login if topology.statistics else None,
            redis=None,
        )


def _fresh(user: str) -> Login:
    return Login(user, secrets.token_urlsafe())


@dataclass(frozen=True)
class Plan:
    """Everything that configuration files are written from. `addresses`: host name -> IP address."""

    layout: Layout
    programs: Programs
    addresses: Mapping[str, str]
    credentials: Credentials
    one_network: bool = False
    """All hosts share one network, and therefore one 127.0.0.1."""
    dialect: VectorDialect = PGVECTOR
    """The vector extension that the application uses."""
    authority: Authority | None = None
    """The authority that signs the members' certificates; None where logins do not use TLS."""
    services: Authority | None = None
    """The authority for everything beside PostgreSQL; None where that is reached without TLS."""

    def server_names(self, member: str) -> tuple[str, ...]:
        """The names and addresses by which clients reach a member, which its certificate is for."""
        hosts = (member, *(host.name for host in self.layout.hosts(Role.HAPROXY)))
        return (*hosts, *(self.addresses[host] for host in hosts), *_LOCAL)

    @property
    def verified_tls(self) -> Mapping[str, str]:
        """libpq's parameters for logins over the network: TLS, with a certificate for the host; empty without TLS."""
        if self.authority is None:
            return {}
        return {"sslmode": "verify-full", "sslrootcert": str(self.authority.certificate)}

    @property
    def web(self) -> WebAccess:
        """How Patroni's REST API and etcd are asked, by Patroni itself and by the suite."""
        if self.services is None:
            return PLAIN
        certificate, key = self.services.client
        return WebAccess("https", str(self.services.certificate), str(certificate), str(key))

    @property
    def dcs_options(self) -> Mapping[str, Any]:
        """What the section of the DCS in Patroni's configuration has beside the addresses."""
        if self.services is None:
            return {}
        web = self.web
        return {"protocol": web.scheme, "cacert": web.authority, "cert": web.certificate, "key": web.key}

    @property
    def _dcs_access(self) -> Mapping[str, Any]:
        """The section with which the suite reads the DCS; empty for etcd that needs only its addresses."""
        kind = self.layout.shape.dcs
        if kind == "raft":
            return {kind: {"partner_addrs": list(map(str, self.addresses_of(Role.MEMBER, RAFT)))}}
        if kind == "etcd3" and not self.dcs_options:
            return {}
        return {kind: {"hosts": list(map(str, self.addresses_of(Role.ETCD, ETCD_CLIENTS))), **self.dcs_options}}

    @property
    def _no_tls(self) -> str:
        return "" if self.authority or self.programs.tls_bindir else self.programs.missing.openssl

    @property
    def preloaded(self) -> tuple[str, ...]:
        """The libraries that PostgreSQL must preload for the vector extension."""
        return ("ruvector",) if self.dialect is RUVECTOR else ()

    def address(self, host: str, port: int) -> Address:
        """The address of a port on a host."""
        return Address(self.addresses[host], port)

    def advertised(self, host: str, port: int) -> Address:
        """The address of a port as the hosts themselves name it."""
        return Address(host, port) if self.layout.shape.advertises_names else self.address(host, port)

    def addresses_of(self, role: Role, port: int) -> tuple[Address, ...]:
        """The addresses of one port on every host of a role."""
        return tuple(self.address(host.name, port) for host in self.layout.hosts(role))

    def targets(self) -> dict[str, tuple[str, int]]:
        """Where each name that `published` lists is forwarded to."""
        return {name: (self.addresses[host], port) for name, (host, port) in _services(self.layout).items()}

    def topology(self, sandbox: Path, kind: str) -> Topology:
        """The cluster as its clients see it, in a sandbox of that kind in that directory."""
        logins, shape = self.credentials, self.layout.shape
        proxy = shape.proxy
        members = tuple(self._member(host) for host in self.layout.hosts(Role.MEMBER))
        further = tuple(one.password for one in (logins.replication, logins.rewind) if one)
        topology = Topology(
            database=shape.database,
            application=logins.application,
            administrator=logins.administrator,
            write=members[0].postgres,
            members=members,
            dcs=self.addresses_of(Role.ETCD, ETCD_CLIENTS) if shape.dcs in ("etcd3", "etcd") else (),
            dcs_access=self._dcs_access if shape.patroni else {},
            dcs_namespace=shape.namespace,
            patroni_access=self.web,
            scope=shape.scope if shape.patroni else "",
            patroni_login=logins.patroni_api if shape.patroni else None,
            redis=RedisAddress(self.address("redis", REDIS), logins.redis) if shape.cache else None,
            options=self.verified_tls,
            profile=(KNOWN[shape.tables] if shape.tables else EXAMPLE).with_vectors(self.dialect.type),
            further_secrets=further,
            lacks=lacks(self.layout, kind, self.programs.missing.citus, ruvector_missing(self.dialect), self._no_tls),
            sandbox=sandbox,
            annex=shape.annex,
            tls_bindir=self.programs.tls_bindir if shape.tls and self.authority is None else None,
        )
        if proxy is None:
            return topology
        write, read, *_ = proxy.routes
        page = f"{self.web.scheme}://{self.address(shape.haproxy, proxy.statistics)}"
        return replace(
            topology,
            write=self.address(shape.haproxy, write.port),
            read=self.address(shape.haproxy, read.port),
            statistics=StatisticsPage(
                page, logins.statistics, (write.proxy,), (read.proxy,), authority=self.web.authority
            ),
        )

    def _member(self, host: PlannedHost) -> MemberAddress:
        rest = self.address(host.name, PATRONI_API) if self.layout.shape.patroni else None
        return MemberAddress(host.name, self.address(host.name, POSTGRES), rest, host.group)


def published(layout: Layout) -> tuple[str, ...]:
    """The names of everything that can be reached from outside the sandbox."""
    return tuple(_services(layout))


def _services(layout: Layout) -> dict[str, tuple[str, int]]:
    """Published name -> the host that it is forwarded to, and the port there."""
    everything = dict(_all_services(layout))
    return everything if layout.shape.outside else {name: everything[name] for name in PUBLISHED}


def _all_services(layout: Layout) -> Iterator[tuple[str, tuple[str, int]]]:
    shape = layout.shape
    if shape.proxy:
        for name, route in zip(("write", "read", ALL), shape.proxy.routes, strict=False):
            yield name, (shape.haproxy, route.port)
        if shape.proxy.known:
            yield "statistics", (shape.haproxy, shape.proxy.statistics)
    if shape.cache:
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
    """Why a cluster whose application uses that extension has no RuVector; empty where it has it."""
    return "" if dialect is RUVECTOR else f"the vector extension is {dialect.extension} (--vector ruvector)"


OF_WORKERS = ("citus", "workers", "several_workers", "worker_replicas", "nodes", "several_copies")


def lacks(
    layout: Layout, kind: str, citus_missing: str, ruvector_missing: str, tls_missing: str = ""
) -> dict[str, str]:
    """The capabilities that such a cluster lacks in a sandbox of that kind, each with the reason.

    `citus_missing` says why its PostgreSQL has no Citus, and is empty where it has it; `ruvector_missing` likewise.
    `tls_missing` says why no PostgreSQL with OpenSSL was found.
    """
    found = dict[str, str]()
    if without_tls := tls_missing if layout.shape.tls else f"a cluster like {layout.shape.name} uses no TLS":
        found |= dict.fromkeys(("tls", "verified_tls", "certificates"), without_tls)
    if not layout.workers:
        why = citus_missing or "the embedded cluster has no worker groups (--workers)"
        found |= dict.fromkeys(OF_WORKERS, why)
    elif layout.worker_members == 1:
        found["worker_replicas"] = "each worker group of the embedded cluster has a single member (--worker-members)"
    if layout.workers == 1:
        found["several_workers"] = (
            "the embedded cluster has one worker group (--workers): shards cannot be moved anywhere"
        )
    if ruvector_missing:
        found["ruvector"] = ruvector_missing
    else:
        found["pgvector"] = "the vector extension is ruvector (--vector pgvector)"
    if layout.members == 1:
        why = "the embedded cluster has a single member (--members)"
        found |= dict.fromkeys(("replicas", "several_replicas", *OF_ANY, *OF_SEVERAL), why)
    if layout.members == 2:
        why = "the embedded cluster has a single replica (--members)"
        found |= dict.fromkeys(("several_replicas", *OF_SEVERAL), why)
    if not layout.shape.synchronous:
        found["synchronous"] = "the embedded cluster replicates asynchronously"
    if layout.shape.dcs == "raft":
        found["dcs_hosts"] = "with --dcs raft, the members are their own DCS"
    if layout.shape.dcs in ("zookeeper", "raft"):
        found["dcs"] = f"the DCS is not etcd (--dcs {layout.shape.dcs}): only its members report their health"
    if layout.etcd < 3:
        found["spare_dcs"] = f"the embedded cluster has {layout.etcd} etcd nodes (--etcd), none to spare"
    if kind == LOOPBACK:
        why = "not available in a loopback sandbox: its hosts share one network"
        found |= dict.fromkeys(("partitions", "dcs_links", "poor_links", "slow_links"), why)
        found |= dict.fromkeys(
            ("disks", "volatile_disks"), "not available in a loopback sandbox: its hosts share one disk"
        )
    elif reason := why_not_fuse():
        found["volatile_disks"] = reason
    shape = layout.shape
    found["redis_failover"] = "the embedded cluster has one Redis, without a replica"
    absent = {
        "patroni": shape.patroni,
        "patroni_commands": shape.patroni,
        "dcs": shape.patroni,
        "patroni_login": shape.patroni and shape.rest_login,
        "haproxy": shape.proxy,
        "statistics": shape.proxy,
        "redis": shape.cache,
        "peer_certificates": shape.secured and shape.dcs in ("etcd3", "etcd"),
        "redis_password": shape.cache and shape.cache.password,
        **dict.fromkeys(("schema", "application_schema", "vector"), shape.tables),
    }
    return found | {name: f"a cluster like {shape.name} has none" for name, there in absent.items() if not there}
