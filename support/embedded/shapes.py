"""The shape of the embedded cluster that the suite boots when nothing else is asked for."""

from typing import Any

from support.embedded.shape import Proxy, Route, Shape
from support.target.topology import Login

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
    # There is no line for the local socket, as there is no local socket: nobody is trusted.
    host_access=(
        "host all all 0.0.0.0/0 scram-sha-256",
        "host replication replicator 0.0.0.0/0 scram-sha-256",
    ),
    proxy=Proxy(
        template="haproxy.cfg.j2",
        routes=(Route("write", 5000, "/primary"), Route("read", 5001, "/replica")),
        statistics=7000,
        login=Login("statistics", ""),
    ),
)
