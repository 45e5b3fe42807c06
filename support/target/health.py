"""Whether the whole cluster is healthy: each function returns once a part of it is, and raises NotYet before.

Each component is asked only where the target has one. The same functions serve the boot of the embedded cluster and
the beginning and the end of every experiment.
"""

import time
from functools import partial

import requests

from support import sql
from support.errors import AcceptError, ConnectFailed
from support.target import citus, etcd, haproxy
from support.target.cluster import Cluster
from support.target.members import replica_states, server, status_of
from support.target.patroni_configuration import configuration_of
from support.target.purposes import STREAMING, purposes
from support.target.redis import ERRORS, require_answer
from support.waiting import NotYet, eventually

_READS = {"write": "down", "read": "up"}
SILENT = (requests.RequestException, *ERRORS)
"""The errors of a server that does not answer yet."""
_REFUSED = (*SILENT, ConnectFailed, sql.Error, ValueError)
"""The errors of a server that does not answer yet, and those of a database that lets nobody in yet."""


def require_quorum(cluster: Cluster) -> None:
    """Enough etcd nodes are healthy for a quorum; those of which nothing is known may be.

    etcd itself calls none of its nodes healthy without a quorum.
    """
    quorum = etcd.quorum(cluster.topology)
    if quorum.spare + len(quorum.unjudged) < 0 or not quorum.healthy:
        raise NotYet(f"{len(quorum.healthy)} of {quorum.voters} nodes are healthy")


def require_replicating(cluster: Cluster, replica: str) -> None:
    """A replica streams, or reads the archive if that is what it is for, and Patroni's other members know it.

    The replica's own Patroni has to answer as well: what the others know of it may be as old as `ttl`.
    """
    state, wanted = replica_states(cluster).get(replica, "unknown to Patroni"), purposes(cluster)[replica].replication
    if state != wanted:
        raise NotYet(f"{replica} {'does not stream' if wanted == STREAMING else 'reads no archive'}, it is {state}")
    status_of(cluster, replica)


def require_synchronous_standby(cluster: Cluster) -> str:
    """A synchronous standby, for which commits wait, has been chosen; returns its name."""
    roles = {member.name: member.role for member in cluster.view().members}
    for name, role in roles.items():
        if role in ("sync_standby", "quorum_standby"):
            return name
    raise NotYet(f"the roles are {roles}")


def require_routing(cluster: Cluster, leader: str) -> None:
    """HAProxy has checked every member; it routes writes to the leader only, and reads to all others.

    So it is in the embedded cluster. What a user's proxy checks, and whether it lets the leader serve reads, too, is up
    to the user: see `require_endpoints`.
    """
    page = cluster.statistics_page
    rows = [row for row in haproxy.servers(page) if row.server in cluster.members]
    unchecked = [row.server for row in rows if not row.check.startswith("L7")]
    if unchecked:
        raise NotYet(f"no answer yet from {', '.join(unchecked)}")
    wanted = {name: {"write": "up", "read": "down"} if name == leader else _READS for name in cluster.members}
    found = haproxy.positions(page, cluster.members)
    if found != wanted:
        raise NotYet(f"it says {found}")


def require_endpoints(cluster: Cluster, leader: str) -> None:
    """The write endpoint leads to the leader, and a server answers behind the read endpoint, if there is one."""
    reached, leading = server(cluster.write), status_of(cluster, leader)
    if reached.in_recovery:
        raise NotYet("the write endpoint leads to a server in recovery")
    if reached.started != leading.started:
        raise NotYet(f"the write endpoint leads to a server other than that of {leader}")
    if cluster.topology.read is not None:
        server(cluster.read)


def require_cache(cluster: Cluster) -> None:
    """Redis accepts its password and answers."""
    with cluster.redis() as client:
        require_answer(client)


def require_group(cluster: Cluster) -> str:
    """One group has a leader, and its members replicate as they should; returns the leader."""
    view, leader = cluster.view(), cluster.leader()
    if view.paused:
        raise NotYet("Patroni is paused")
    status_of(cluster, leader)
    for name in cluster.members:
        if name != leader:
            require_replicating(cluster, name)
    timelines = {member.name: member.timeline for member in view.members}
    if len(set(timelines.values())) > 1:
        raise NotYet(f"the timelines are {timelines}")
    if configuration_of(cluster).synchronous and _can_be_synchronous(cluster):
        require_synchronous_standby(cluster)
    return leader


def _can_be_synchronous(cluster: Cluster) -> bool:
    """Whether a member may be a synchronous standby. In the embedded cluster, a tag that rules it out is ignored."""
    if cluster.topology.embedded:
        return len(cluster.members) > 1
    return any(one.may_be_synchronous for one in purposes(cluster).values())


def require_all(cluster: Cluster) -> None:
    """All of the above at once; in every group, all members are on one timeline, and Patroni is not paused."""
    topology = cluster.topology
    if topology.dcs and "dcs" not in topology.lacks:
        require_quorum(cluster)
    leaders = {group.group: require_group(group) for group in cluster.groups if group.has_patroni}
    if topology.embedded:
        require_routing(cluster, leaders[0])
    elif 0 in leaders:
        require_endpoints(cluster, leaders[0])
    if topology.redis is not None:
        require_cache(cluster)
    if "citus" not in topology.lacks:
        citus.require_settled(cluster, list(leaders.values()))


def await_all(cluster: Cluster, within: float) -> float:
    """Wait until the whole cluster is healthy; returns the seconds that took. Raises NotInTime with what was wrong."""
    begun = time.monotonic()
    well = partial(require_all, cluster)
    eventually(well, within=within, subject="the whole cluster is healthy", retry_on=_REFUSED)
    return time.monotonic() - begun


def is_healthy(cluster: Cluster) -> bool:
    """Whether the whole cluster was seen to be healthy, in one look."""
    try:
        require_all(cluster)
    except (NotYet, AssertionError, AcceptError, OSError, *_REFUSED):
        return False
    return True
