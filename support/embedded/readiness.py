"""When parts of an embedded cluster are ready: each function returns once something holds, and raises NotYet before.

What is asked of any cluster is in support/target/health.py.
"""

from dataclasses import replace

from support import sql
from support.errors import ConnectFailed
from support.target import etcd
from support.target.cluster import Cluster
from support.target.topology import Address
from support.waiting import NotYet, describe


def require_synchronous(session: sql.Session, replica: str) -> None:
    """The leader that this session is with waits for that replica before it acknowledges a commit."""
    found = sql.rows(session, "SELECT sync_state FROM pg_stat_replication WHERE application_name = %s", [replica])
    if found != [("sync",)]:
        raise NotYet(f"its replication is {found}")


def require_setting(session: sql.Session, name: str, but: str) -> None:
    """A setting of the server has a value, and another one than `but`."""
    value = sql.value(session, "SELECT current_setting(%s)", [name])
    if value in ("", but):
        raise NotYet(f"{name} is {value!r}")


def require_pool(cluster: Cluster, pooler: Address) -> None:
    """PgBouncer connects the application to its database."""
    try:
        sql.value(replace(cluster.write, name="PgBouncer", host=pooler.host, port=pooler.port), "SELECT 1")
    except ConnectFailed as error:
        raise NotYet(describe(error)) from None


def require_leases(cluster: Cluster, ttl: int) -> None:
    """Every Patroni has adopted this ttl: etcd granted its lease for this many seconds."""
    granted = etcd.leases(cluster.topology, cluster.group)
    if missing := {"leader", *(f"members/{name}" for name in cluster.members)} - granted.keys():
        raise NotYet(f"etcd has no lease of {', '.join(sorted(missing))}")
    if others := {name: seconds for name, seconds in granted.items() if seconds != ttl}:
        raise NotYet(f"the leases were granted for {others} seconds")
