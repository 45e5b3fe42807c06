"""Patroni's configuration file of a member.

Source: https://patroni.readthedocs.io/en/latest/patroni_configuration.html
"""

from pathlib import Path
from typing import Any

from support.cluster.embedded.layout import PlannedHost, Role
from support.cluster.embedded.plan import DATABASE, ETCD_CLIENTS, PATRONI_API, POSTGRES, Plan
from support.cluster.topology import Login

TTL, LOOP_WAIT, RETRY_TIMEOUT = 20, 1, 5
"""Seconds: the leader's lease, the pause between two looks, and for how long the DCS is asked again."""

MAXIMUM_LAG = 16 * 1024 * 1024
"""Bytes: a replica further behind neither becomes the leader nor serves reads."""

HOST_ACCESS = (
    "host all all 0.0.0.0/0 scram-sha-256",
    "host replication replicator 0.0.0.0/0 scram-sha-256",
)
"""pg_hba.conf, whole. There is no line for the local socket, as there is no local socket: nobody is trusted."""

PARAMETERS: dict[str, Any] = {
    # A commit is durable, and a member that fell behind or aside can be brought back.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "wal_log_hints": "on",
    # Twice max_wal_size: pg_rewind goes back to the last checkpoint that was complete when the members parted, and the
    # leader may have completed another since, after which it keeps no more than this. Patroni would wait for ever.
    "wal_keep_size": "1GB",
    "max_wal_size": "512MB",
    "max_wal_senders": 12,
    "max_replication_slots": 12,
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    # A peer that fell silent is noticed within seconds; 60 s, the default, keep a cut-off leader from stopping.
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
    "dynamic_shared_memory_type": "mmap",  # in the data directory: a killed server leaves nothing elsewhere
    "password_encryption": "scram-sha-256",
    # Evidence. Connections are not logged: the proxy's log has them.
    "log_line_prefix": "%m [%p] %q%a %u@%d ",
    "log_checkpoints": "on",
    "log_lock_waits": "on",
    "log_min_duration_statement": "1s",
    "log_parameter_max_length": 0,
}


SHARDING: dict[str, Any] = {
    "citus.shard_count": 32,
    "citus.node_conninfo": "sslmode=prefer",  # the default insists on TLS, which not every build has
    "citus.propagate_set_commands": "local",  # SET LOCAL holds for the tasks on the workers too
    # A node that is down is told after seconds, and what a transaction left in doubt there is soon resolved.
    "citus.node_connection_timeout": "5s",
    "citus.recover_2pc_interval": "5s",
    # What a move leaves behind is removed by the job that looks for it this often.
    "citus.defer_shard_delete_interval": "1s",
    "citus.background_task_queue_interval": "1s",
    # A query opens no more connections to a worker than it has use for, and keeps them: a login costs more than a task.
    "citus.max_adaptive_executor_pool_size": 2,
    "citus.max_cached_conns_per_worker": 2,
    "max_worker_processes": 16,  # moves and their logical replication need some of them
}
"""PostgreSQL's parameters, where there are groups of workers."""


def configuration(plan: Plan, host: PlannedHost, directory: Path) -> dict[str, Any]:
    """The whole file of one member that lives in `directory`."""
    sharding = {"citus": {"database": DATABASE, "group": host.group}} if plan.layout.workers else {}
    return {
        **sharding,
        "scope": plan.layout.scope,
        "name": host.name,
        "log": {"level": "INFO", "format": "%(asctime)s patroni %(levelname)s: %(message)s"},
        "restapi": {
            "listen": str(plan.address(host.name, PATRONI_API)),
            "connect_address": str(plan.address(host.name, PATRONI_API)),
            "authentication": _login(plan.credentials.patroni_api),
        },
        "etcd3": {"hosts": [str(address) for address in plan.addresses_of(Role.ETCD, ETCD_CLIENTS)]},
        "bootstrap": {"dcs": _shared(plan), "initdb": _initdb()},
        "postgresql": _postgresql(plan, host, directory),
    }


def _shared(plan: Plan) -> dict[str, Any]:
    """What holds for every member, and can be changed while the cluster runs (PATCH /config)."""
    return {
        "ttl": TTL,
        "loop_wait": LOOP_WAIT,
        "retry_timeout": RETRY_TIMEOUT,
        "maximum_lag_on_failover": MAXIMUM_LAG,
        "check_timeline": True,
        "failsafe_mode": True,
        "synchronous_mode": plan.layout.synchronous,
        "primary_start_timeout": 30,
        "primary_stop_timeout": 15,
        "postgresql": {
            "use_pg_rewind": True,
            "remove_data_directory_on_rewind_failure": True,
            "remove_data_directory_on_diverged_timelines": True,
            "use_slots": True,
            "parameters": PARAMETERS | (SHARDING if plan.layout.workers else {}),
            "pg_hba": list(HOST_ACCESS),
        },
    }


def _initdb() -> list[str | dict[str, str]]:
    return [
        "data-checksums",
        {"encoding": "UTF8"},
        {"locale": "C.UTF-8"},
        {"auth-local": "scram-sha-256"},
        {"auth-host": "scram-sha-256"},
    ]


def _postgresql(plan: Plan, host: PlannedHost, directory: Path) -> dict[str, Any]:
    address, logins = str(plan.address(host.name, POSTGRES)), plan.credentials
    # A Patroni that has just started has Citus look for its own node at localhost.
    own = ",127.0.0.1" if plan.layout.workers and not plan.one_network else ""
    return {
        "listen": address.replace(":", f"{own}:"),
        "connect_address": address,
        "data_dir": str(directory / "data"),
        "bin_dir": str(plan.programs.pg_bindir),
        "pgpass": str(directory / "pgpass"),
        "authentication": {
            "superuser": _login(logins.administrator),
            "replication": _login(logins.replication),
            "rewind": _login(logins.rewind),
        },
        "basebackup": [{"checkpoint": "fast"}],  # else a replica waits minutes for the leader's next checkpoint
        "parameters": {"unix_socket_directories": ""},
    }


def _login(login: Login) -> dict[str, str]:
    return {"username": login.user, "password": login.password}
