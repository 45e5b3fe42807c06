"""When an embedded cluster is ready: each function here returns once something holds, and raises NotYet before."""

import time
from dataclasses import replace
from functools import partial

import redis
import requests

from support import sql
from support.errors import ConnectFailed
from support.target import citus, dcs, haproxy
from support.target.cluster import Cluster
from support.target.patroni_configuration import configuration_of
from support.target.redis import client_of
from support.target.topology import Address
from support.waiting import NotYet, describe, eventually

_READS = {"write": "down", "read": "up"}
SILENT = (requests.RequestException, redis.RedisError)
"""The errors of a server that does not answer yet."""


def require_quorum(cluster: Cluster) -> None:
    """Enough etcd nodes are healthy for a quorum."""
    quorum = dcs.quorum(cluster.topology)
    if quorum.spare < 0:
        raise NotYet(f"{len(quorum.healthy)} of {quorum.voters} nodes are healthy")


def require_streaming(cluster: Cluster, replica: str) -> None:
    """A replica streams from the leader, and Patroni's other members know it."""
    states = {member.name: member.state for member in cluster.view().replicas}
    if states.get(replica) != "streaming":
        raise NotYet(f"it is {states.get(replica, 'unknown to Patroni')}")


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


def require_synchronous_standby(cluster: Cluster) -> str:
    """A synchronous standby, for which commits wait, has been chosen; returns its name."""
    roles = {member.name: member.role for member in cluster.view().members}
    for name, role in roles.items():
        if role in ("sync_standby", "quorum_standby"):
            return name
    raise NotYet(f"the roles are {roles}")


def require_routing(cluster: Cluster, leader: str) -> None:
    """HAProxy has checked every member; it routes writes to the leader only, and reads to all others."""
    page = cluster.topology.statistics
    assert page is not None
    rows = [row for row in haproxy.servers(page) if row.server in cluster.members]
    unchecked = [row.server for row in rows if not row.check.startswith("L7")]
    if unchecked:
        raise NotYet(f"no answer yet from {', '.join(unchecked)}")
    wanted = {name: {"write": "up", "read": "down"} if name == leader else _READS for name in cluster.members}
    found = haproxy.positions(page, cluster.members)
    if found != wanted:
        raise NotYet(f"it says {found}")


def require_pool(cluster: Cluster, pooler: Address) -> None:
    """PgBouncer connects the application to its database."""
    try:
        sql.value(replace(cluster.write, name="PgBouncer", host=pooler.host, port=pooler.port), "SELECT 1")
    except ConnectFailed as error:
        raise NotYet(describe(error)) from None


def require_leases(cluster: Cluster, ttl: int) -> None:
    """Every Patroni has adopted this ttl: etcd granted its lease for so many seconds."""
    granted = dcs.leases(cluster.topology, cluster.group)
    if missing := {"leader", *(f"members/{name}" for name in cluster.members)} - granted.keys():
        raise NotYet(f"etcd has no lease of {', '.join(sorted(missing))}")
    if others := {name: seconds for name, seconds in granted.items() if seconds != ttl}:
        raise NotYet(f"the leases were granted for {others} seconds")


def require_cache(cluster: Cluster) -> None:
    """Redis accepts its password and answers."""
    server = cluster.topology.redis
    assert server is not None
    with client_of(server) as client:
        client.ping()


def require_all(cluster: Cluster) -> None:
    """All of the above at once; in every group, all members are on one timeline, and Patroni is not paused."""
    require_quorum(cluster)
    leaders = [require_group(group) for group in cluster.groups]
    require_routing(cluster, leaders[0])
    require_cache(cluster)
    if "citus" not in cluster.topology.lacks:
        citus.require_settled(cluster, leaders)


def require_group(cluster: Cluster) -> str:
    """One group has a leader, and its members replicate as they should; returns the leader."""
    view, leader = cluster.view(), cluster.leader()
    if view.paused:
        raise NotYet("Patroni is paused")
    for name in cluster.members:
        if name != leader:
            require_streaming(cluster, name)
    timelines = {member.name: member.timeline for member in view.members}
    if len(set(timelines.values())) > 1:
        raise NotYet(f"the timelines are {timelines}")
    if configuration_of(cluster).synchronous and len(cluster.members) > 1:
        require_synchronous_standby(cluster)
    return leader


def await_all(cluster: Cluster, within: float) -> float:
    """Wait until the whole cluster is well; returns the seconds that took. Raises NotInTime with what was wrong."""
    begun = time.monotonic()
    well = partial(require_all, cluster)
    eventually(well, within=within, subject="the whole cluster is well", retry_on=SILENT)
    return time.monotonic() - begun
