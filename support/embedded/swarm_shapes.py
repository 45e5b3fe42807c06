"""The shapes of another installation, which the predecessor of this suite tested: `--like swarm` and others.

They reproduce facts of that installation: names, ports, timing, replication. A cluster of such a shape is reached from
outside only, as its users reach theirs: by published ports, under names that only its own hosts resolve.
"""

from dataclasses import replace
from typing import Any

from support.embedded.shape import SECURED, Cache, Pooler, Proxy, Route, Shape, Timing
from support.errors import UsageError
from support.target.topology import Login
from support.vocabulary import suggestion

_PARAMETERS: dict[str, Any] = {
    "max_connections": 200,
    "shared_buffers": "64MB",  # less than theirs, like everything that only costs memory
    "work_mem": "1310kB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "1GB",
    "max_worker_processes": 4,
    "wal_level": "replica",
    "max_wal_senders": 10,
    "max_replication_slots": 10,
    "hot_standby": "on",
    "wal_log_hints": "on",
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_lock_waits": "on",
}
_MEMBER_PORTS = {"patroni-1": 5435, "patroni-2": 5433, "patroni-3": 5434}
_API_PORTS = {"patroni-1 api": 8008, "patroni-2 api": 8009, "patroni-3 api": 8010}
_ETCD_PORTS = {"etcd-1": 2379, "etcd-2": 22379, "etcd-3": 32379}
_NO_PASSWORD = Cache(password=False, memory="400mb", append_only=True)
_PROXY = Proxy(
    template="haproxy_listen.cfg.j2",
    routes=(
        Route("primary", 5000, "/primary"),
        Route("replicas", 5001, "/replica"),
        Route("all_nodes", 5002, "/health"),
    ),
    statistics=7000,
    login=Login("admin", "admin"),
    starts_last=True,
)

SWARM = Shape(
    name="swarm",
    summary="Patroni by compose: three asynchronous members named patroni-N, HAProxy, etcd, Redis",
    database="distributed_postgres_cluster",
    application="dpg_cluster",
    workers=0,
    scope="patroni-cluster",
    member="patroni-{number}",
    worker="worker-{group}-{number}",
    etcd_node="etcd-{number}",
    advertises_names=True,
    timing=Timing(ttl=30, loop_wait=10, retry_timeout=10),
    maximum_lag=1024 * 1024,
    synchronous=False,
    parameters=_PARAMETERS,
    sharding={"citus.node_conninfo": "sslmode=prefer", "max_worker_processes": 16},
    host_access=(
        "host replication replicator 0.0.0.0/0 md5",
        "host all all 0.0.0.0/0 md5",
        "local all all trust",
    ),
    local_access=True,
    rest_login=False,
    rewind_role=False,
    proxy=_PROXY,
    cache=_NO_PASSWORD,
    tables="swarm",
    vector="auto",
    outside=True,
    ports={
        "write": 5000,
        "read": 5001,
        "all": 5002,
        "statistics": 7000,
        "redis": 6379,
        **_MEMBER_PORTS,
        **_API_PORTS,
        **_ETCD_PORTS,
    },
)

_PLAIN_PARAMETERS: dict[str, Any] = {
    "max_connections": 100,
    "shared_buffers": "64MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "64MB",
    "dynamic_shared_memory_type": "mmap",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
_IMAGE_ACCESS = (
    "local all all trust",
    "host all all 127.0.0.1/32 trust",
    "host all all ::1/128 trust",
    "local replication all trust",
    "host all all all scram-sha-256",
)
"""pg_hba.conf as PostgreSQL's container image writes it."""

CITUS = Shape(
    name="swarm-citus",
    summary="Citus by compose, without Patroni: a coordinator, two workers, Redis; nodes use network names",
    database=SWARM.database,
    application=SWARM.application,
    members=1,
    workers=2,
    worker_members=1,
    member="citus-coordinator",
    worker="citus-worker-{group}",
    advertises_names=True,
    patroni=False,
    superuser_application=True,
    parameters={
        **_PLAIN_PARAMETERS,
        "wal_level": "logical",
        "max_wal_senders": 10,
        "max_replication_slots": 10,
        "log_statement": "all",
    },
    worker_parameters={
        "max_connections": 200,
        "work_mem": "64MB",
        "wal_level": "replica",
        "log_statement": "none",
    },
    sharding={"citus.node_conninfo": "sslmode=prefer"},
    host_access=_IMAGE_ACCESS,
    cache=_NO_PASSWORD,
    tables="swarm",
    vector="auto",
    outside=True,
    ports={"citus-coordinator": 5440, "citus-worker-1": 5441, "citus-worker-2": 5442, "redis": 6379},
)

MINIMAL = Shape(
    name="swarm-minimal",
    summary="one PostgreSQL and one Redis on localhost, nothing else",
    database=SWARM.database,
    application=SWARM.application,
    members=1,
    workers=0,
    member="postgres",
    patroni=False,
    superuser_application=True,
    parameters=_PLAIN_PARAMETERS,
    host_access=_IMAGE_ACCESS,
    cache=Cache(password=False, memory="64mb", append_only=False),
    tables="swarm",
    vector="auto",
    outside=True,
    ports={"postgres": 5432, "redis": 6379},
)

HA = replace(
    SWARM,
    name="swarm-ha",
    summary="the design for high availability: coordinators and workers under Patroni, commits wait, split proxies",
    workers=None,
    scope="postgres-cluster-coordinators",
    member="coordinator-{number}",
    synchronous=True,
    dynamic={"synchronous_mode_strict": True},
    parameters={**_PARAMETERS, "max_connections": 100, "wal_keep_size": "1GB"},
    host_access=SWARM.host_access[:2],
    local_access=False,
    rewind_role=True,
    proxy=Proxy(
        template="haproxy_split.cfg.j2",
        routes=(
            Route("postgres_primary_backend", 5432, "/leader"),
            Route("postgres_replica_backend", 5433, "/replica", "leastconn"),
            Route("postgres_any_backend", 5434, "/health"),
        ),
        statistics=8404,
        starts_last=True,
    ),
    ports={"write": 5432, "read": 5433, "all": 5434, "statistics": 8404, "redis": 6379},
)

UNIFIED = replace(
    SWARM,
    name="swarm-unified",
    summary="the same members at fixed addresses that no other machine reaches, with PgBouncer in front of them",
    advertises_names=False,
    proxy=replace(_PROXY, routes=_PROXY.routes[:2], known=False),
    pooler=Pooler(mode="transaction"),
    ports={
        "write": 5500,
        "read": 5501,
        "pooler": 6432,
        "redis": 6379,
        "patroni-1": 5433,
        "patroni-2": 5434,
        "patroni-3": 5435,
        **_API_PORTS,
        **_ETCD_PORTS,
    },
)

LIKE = {shape.name: shape for shape in (SWARM, UNIFIED, CITUS, HA, MINIMAL, SECURED)}
"""The shapes that a user can ask for, by name."""


def shape_like(name: str) -> Shape:
    """The shape of that name. Raises UsageError that lists what there is."""
    if name not in LIKE:
        lines = [f"  {shape.name:<14}{shape.summary}" for shape in LIKE.values()]
        raise UsageError(
            "\n".join(
                [f"--like {name}: there is no such shape{suggestion(name, LIKE, otherwise='; there are')}", *lines]
            )
        )
    return LIKE[name]
