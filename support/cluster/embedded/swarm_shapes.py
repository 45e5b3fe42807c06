"""The shapes of another installation, that which the predecessor of this suite tested: `--like swarm` and others.

They are made of facts of that installation (names, ports, timing, what replicates how); a cluster of such a shape is
met from outside only, as its users meet theirs: by published ports, under names that only its own hosts resolve.
"""

from typing import Any

from support.cluster.embedded.shape import Cache, Proxy, Route, Shape, Timing
from support.cluster.topology import Login
from support.errors import UsageError

_PARAMETERS: dict[str, Any] = {
    "max_connections": 200,
    "shared_buffers": "64MB",  # less than theirs, like all that only takes memory
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

SWARM = Shape(
    name="swarm",
    summary="Patroni by compose: three asynchronous members that call themselves patroni-N, HAProxy, etcd, Redis",
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
    proxy=Proxy(
        template="haproxy_listen.cfg.j2",
        routes=(
            Route("primary", 5000, "/primary"),
            Route("replicas", 5001, "/replica"),
            Route("all_nodes", 5002, "/health"),
        ),
        statistics=7000,
        login=Login("admin", "admin"),
        starts_last=True,
    ),
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

LIKE = {shape.name: shape for shape in (SWARM,)}
"""The shapes that a user can ask for, by name."""


def shape_like(name: str) -> Shape:
    """The shape of that name. Raises UsageError that lists what there is."""
    if name not in LIKE:
        lines = [f"  {shape.name:<14}{shape.summary}" for shape in LIKE.values()]
        raise UsageError("\n".join([f"--like {name}: there is no such shape; there are", *lines]))
    return LIKE[name]
