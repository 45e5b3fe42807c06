"""The shape of an embedded cluster: everything about it that is a choice, as data.

The code that writes configuration files and boots reads it from here. `shapes.py` has our own shape, `swarm_shapes.py`
those of another installation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from support.target.topology import Login


@dataclass(frozen=True)
class Timing:
    """Patroni's clock, in seconds: the leader's lease, the pause between two looks, how long the DCS is asked again."""

    ttl: int
    loop_wait: int
    retry_timeout: int


@dataclass(frozen=True)
class Route:
    """One way through HAProxy. It leads to the members on which `path` of Patroni's REST API answers with 200."""

    proxy: str
    """The name of the proxy, or of the backend, that has the servers."""
    port: int
    path: str
    balance: str = "roundrobin"


@dataclass(frozen=True)
class Proxy:
    """HAProxy. The first of its routes leads writes, the second reads."""

    template: str
    routes: tuple[Route, ...]
    statistics: int
    """The port of the statistics page."""
    login: Login | None = None
    """Of the statistics page; without a password a fresh one is made. None where it asks for no login."""
    known: bool = True
    """Its users know that it is HAProxy, and reach its statistics page; else it stands for some balancer."""
    starts_last: bool = False
    """It is started when there is somewhere to route to: its checks are too slow to be waited for twice."""


@dataclass(frozen=True)
class Cache:
    """Redis, as a cache that forgets what was not used for longest."""

    password: bool
    memory: str
    append_only: bool


@dataclass(frozen=True)
class Pooler:
    """PgBouncer, in front of HAProxy's write route."""

    mode: Literal["transaction", "session"]
    port: int = 6432


@dataclass(frozen=True)
class Shape:
    """What a cluster is like, whatever machine it is booted on."""

    name: str
    summary: str
    """What it is, in one line."""
    database: str
    application: str
    """The role of the application."""
    # How large it is, unless somebody says otherwise
    members: int = 3
    workers: int | None = None
    """Citus worker groups; None for as many as usual where there is Citus."""
    worker_members: int = 2
    etcd: int = 3
    # Names
    scope: str = "accept"
    member: str = "pg{number}"
    worker: str = "worker{group}{letter}"
    """`{number}` and `{letter}` count the members of a group, from 1 and from a."""
    etcd_node: str = "etcd{number}"
    advertises_names: bool = False
    """A host calls itself, and its peers, by name; else by address."""
    # PostgreSQL and Patroni
    patroni: bool = True
    """Without it every group is a single PostgreSQL that nothing looks after."""
    timing: Timing = Timing(ttl=20, loop_wait=1, retry_timeout=5)
    maximum_lag: int = 16 * 1024 * 1024
    """Bytes: a replica further behind does not become the leader."""
    synchronous: bool = True
    """A commit waits for a standby, as long as there is one."""
    dynamic: Mapping[str, Any] = field(default_factory=dict)
    """Further settings that Patroni keeps in the DCS."""
    dynamic_postgresql: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the `postgresql` section there."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """PostgreSQL's."""
    worker_parameters: Mapping[str, Any] = field(default_factory=dict)
    """What is otherwise on the workers, where there is no Patroni."""
    sharding: Mapping[str, Any] = field(default_factory=dict)
    """PostgreSQL's parameters where there are worker groups."""
    host_access: tuple[str, ...] = ()
    """pg_hba.conf, whole."""
    local_access: bool = False
    """Logins by a socket on the member's own host, as pg_hba.conf's `local` lines allow them."""
    superuser_application: bool = False
    """The application's role is the superuser that initdb made."""
    rest_login: bool = True
    """Patroni's REST API takes orders only from who logs in."""
    rewind_role: bool = True
    """A role of its own rewinds members; else the superuser does."""
    # What is around
    proxy: Proxy | None = None
    cache: Cache = Cache(password=True, memory="64mb", append_only=False)
    pooler: Pooler | None = None
    # The application
    tables: Literal["example", "swarm"] = "example"
    vector: Literal["auto", "pgvector", "ruvector"] = "pgvector"
    # What is reached from outside
    outside: bool = False
    """Everything is published, and its users know nothing else of it; else only what PUBLISHED names."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Published name -> the port of 127.0.0.1 that it gets where that is free."""
