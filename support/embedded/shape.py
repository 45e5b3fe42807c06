"""The shape of an embedded cluster: every choice about it, as data.

The code that writes configuration files and boots the cluster reads it from here. `OWN` is our own shape, which the
suite boots unless told otherwise; `swarm_shapes.py` has those of another installation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from support.target.topology import Login


@dataclass(frozen=True)
class Timing:
    """Patroni's timing, in seconds: the leader's lease, the pause between checks, how long it retries the DCS."""

    ttl: int
    loop_wait: int
    retry_timeout: int


@dataclass(frozen=True)
class Route:
    """One route through HAProxy, to the members on which `path` of Patroni's REST API answers 200."""

    proxy: str
    """The name of the HAProxy proxy or backend that has the servers."""
    port: int
    path: str
    balance: str = "roundrobin"


@dataclass(frozen=True)
class Proxy:
    """HAProxy. The first of its routes is for writes, the second for reads."""

    template: str
    routes: tuple[Route, ...]
    statistics: int
    """The port of the statistics page."""
    login: Login | None = None
    """The login of the statistics page, None if it needs none. An empty password is replaced by a fresh one."""
    known: bool = True
    """Its users know that it is HAProxy and reach its statistics page; else they see just some load balancer."""
    starts_last: bool = False
    """Start it only when there is a member to route to: its checks are too slow to wait for them twice."""


@dataclass(frozen=True)
class Cache:
    """Redis, as a cache that evicts the least recently used keys."""

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
    # Its default size
    members: int = 3
    workers: int | None = None
    """Citus worker groups; None means the usual number if Citus is installed."""
    worker_members: int = 2
    etcd: int = 3
    # Names
    scope: str = "accept"
    dcs: Literal["etcd3", "etcd", "zookeeper", "raft"] = "etcd3"
    """Named as in Patroni's configuration; with raft, the members are their own DCS."""
    namespace: str = "/service"
    """The prefix of Patroni's keys in the DCS."""
    member: str = "pg{number}"
    worker: str = "worker{group}{letter}"
    """`{number}` and `{letter}` count the members of a group, from 1 and from a."""
    etcd_node: str = "etcd{number}"
    haproxy: str = "haproxy"
    advertises_names: bool = False
    """Hosts refer to themselves and their peers by name; else by address."""
    # PostgreSQL and Patroni
    patroni: bool = True
    """Without it every group is a single, unmanaged PostgreSQL."""
    timing: Timing = Timing(ttl=20, loop_wait=1, retry_timeout=5)
    maximum_lag: int = 16 * 1024 * 1024
    """Bytes: a replica that is further behind does not become the leader."""
    synchronous: bool = True
    """A commit waits for a standby, as long as there is one."""
    dynamic: Mapping[str, Any] = field(default_factory=dict)
    """Further settings that Patroni keeps in the DCS."""
    dynamic_postgresql: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of its `postgresql` section."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """PostgreSQL's parameters."""
    worker_parameters: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that differ on workers without Patroni."""
    sharding: Mapping[str, Any] = field(default_factory=dict)
    """Further PostgreSQL parameters where there are worker groups."""
    host_access: tuple[str, ...] = ()
    """The lines of pg_hba.conf. Where TLS is used, `hostssl` takes the place of `host` in them."""
    tls: bool = False
    """Logins over the network need TLS, if PostgreSQL was built with OpenSSL."""
    secured: bool = False
    """etcd, Patroni's REST API and HAProxy's statistics page are reached by TLS only; etcd, and commands to Patroni,
    need a client's certificate."""
    local_access: bool = False
    """Allow logins over a socket on the member's own host, as the `local` lines of pg_hba.conf say."""
    superuser_application: bool = False
    """The application's role is the superuser that initdb made."""
    rest_login: bool = True
    """Patroni's REST API requires a login for commands."""
    rewind_role: bool = True
    """pg_rewind uses a role of its own; else the superuser."""
    # Around PostgreSQL
    proxy: Proxy | None = None
    cache: Cache | None = Cache(password=True, memory="64mb", append_only=False)
    pooler: Pooler | None = None
    # The application
    tables: Literal["example", "swarm"] | None = "example"
    vector: Literal["auto", "pgvector", "ruvector"] = "pgvector"
    # Where it is booted, and how it is reached
    annex: bool = False
    """Whether it is a second, smaller cluster in the sandbox of another one; nothing of it is published."""
    outside: bool = False
    """Everything is published, and users know only that; else only what PUBLISHED names is published."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Published name -> its port on 127.0.0.1, where that is free."""


PARAMETERS: dict[str, Any] = {
    # A commit is durable, and a member that fell behind or diverged can be brought back.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "logical",  # what a replica needs, and a consumer of changes
    "wal_log_hints": "on",
    # Twice max_wal_size: pg_rewind needs the WAL back to the last checkpoint completed before the members diverged. The
    # leader may have completed another one since, and then keeps only this much. Without that, Patroni waits forever.
    "wal_keep_size": "1GB",
    "max_wal_size": "512MB",
    "max_wal_senders": 12,
    "max_prepared_transactions": 10,
    "max_slot_wal_keep_size": "4GB",  # more than wal_keep_size and any fault of a scenario needs, less than a disk has
    "max_replication_slots": 12,
    # Nothing is kept: that the archiver runs is enough for scenarios in which it fails.
    "archive_mode": "on",
    "archive_command": "true",
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    # A silent peer is noticed within seconds; the default of 60 s would keep a cut-off leader from stopping.
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "500ms",
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    # Many sessions, modest memory: several members share one machine.
    "max_connections": 150,
    "shared_buffers": "32MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "64MB",
    "dynamic_shared_memory_type": "mmap",  # in the data directory, so that a killed server leaves nothing elsewhere
    "password_encryption": "scram-sha-256",
    # Evidence. Connections are not logged, as the proxy's log has them.
    "log_line_prefix": "%m [%p] %q%a %u@%d ",
    "log_checkpoints": "on",
    "log_lock_waits": "on",
    "log_min_duration_statement": "1s",
    "log_parameter_max_length": 0,
}

SHARDING: dict[str, Any] = {
    "citus.shard_count": 32,
    "citus.node_conninfo": "sslmode=prefer",  # the default requires TLS, which not every build has
    "citus.propagate_set_commands": "local",  # SET LOCAL applies to tasks on the workers too
    # A node that is down is reported after seconds, and transactions left in doubt there are resolved soon.
    "citus.node_connection_timeout": "5s",
    "citus.recover_2pc_interval": "5s",
    # How often a job removes what shard moves leave behind.
    "citus.defer_shard_delete_interval": "1s",
    "citus.background_task_queue_interval": "1s",
    # A query opens few connections to a worker and keeps them, as a login costs more than a task.
    "citus.max_adaptive_executor_pool_size": 2,
    "citus.max_cached_conns_per_worker": 2,
    "max_prepared_transactions": 300,  # twice max_connections: each session may prepare one on a node, or more
    "max_worker_processes": 16,  # shard moves and their logical replication need some of them
}
"""PostgreSQL parameters for clusters with worker groups."""

OWN = Shape(
    name="own",
    summary="The suite's own: commits wait for a standby, short leases, every login with a password.",
    database="accept",
    application="accept_app",
    dynamic={
        "check_timeline": True,
        "failsafe_mode": True,
        "primary_start_timeout": 30,
        "primary_stop_timeout": 15,
    },
    dynamic_postgresql={
        "remove_data_directory_on_rewind_failure": True,
        "remove_data_directory_on_diverged_timelines": True,
    },
    parameters=PARAMETERS,
    sharding=SHARDING,
    # There is no local socket, hence no `local` line: every login needs a password.
    host_access=(
        "host all all 0.0.0.0/0 scram-sha-256",
        "host replication replicator 0.0.0.0/0 scram-sha-256",
    ),
    tls=True,
    proxy=Proxy(
        template="haproxy.cfg.j2",
        routes=(Route("write", 5000, "/primary"), Route("read", 5001, "/replica")),
        statistics=7000,
        login=Login("statistics", ""),
    ),
)

ENCRYPTED = replace(
    OWN,
    name="encrypted",
    summary="a small cluster with TLS, beside one whose PostgreSQL was built without OpenSSL",
    members=2,
    workers=0,
    etcd=1,
    scope="accept-tls",
    member="tls{number}",
    etcd_node="tls-etcd{number}",
    haproxy="tls-haproxy",
    cache=None,
    tables=None,
    annex=True,
)
"""See `encrypted.py`."""

SECURED = replace(
    OWN,
    name="secured",
    summary="the suite's own, with TLS for etcd, Patroni's REST API and HAProxy's page, too, and another namespace",
    namespace="/team/secured",
    secured=True,
)
