"""Finds the target of a fault: the member or host that has a role at the moment."""

import re
from collections.abc import Collection

from support.errors import Inconclusive, NotAvailable
from support.hosts import Host
from support.target import dcs
from support.target.cluster import Cluster
from support.target.failover_readiness import never_leads
from support.target.patroni_configuration import configuration_of
from support.vocabulary import Kind

ROLE = Kind(
    "role of a member",
    (
        "the leader",
        "a replica",
        "a replica that may lead",
        "the synchronous standby",
        "an asynchronous replica",
    ),
    more=r"(?:the leader|a replica|a replica that may lead|the synchronous standby|an asynchronous replica)"
    r" of worker group \d+",
    shown=("the leader of worker group 1",),
)
"""The roles by which scenarios name a member; see `member_by_role`."""
SYNCHRONOUS = frozenset({"sync_standby", "quorum_standby"})
_OF_WORKERS = re.compile(r"(?P<role>.+) of worker group (?P<group>\d+)")


def member_by_role(cluster: Cluster, role: str) -> str:
    """The member that has the role now: a key of `having`, or such as "the leader of worker group 1".

    Raises Inconclusive if no member has it, LookupError if there is no such role or group.
    """
    if of_workers := _OF_WORKERS.fullmatch(role):
        cluster, role = cluster.of_group(int(of_workers["group"])), of_workers["role"]
    view = cluster.view()
    synchronous = [one.name for one in view.replicas if one.role in SYNCHRONOUS]
    able = [one.name for one in view.replicas if one.streams and not never_leads(one.tags)]
    having = {
        "the leader": [one.name for one in view.members if one.leads],
        "a replica": [one.name for one in view.replicas],
        "a replica that may lead": synchronous or able,
        "the synchronous standby": synchronous,
        "an asynchronous replica": [one.name for one in view.replicas if one.role not in SYNCHRONOUS],
    }
    if role == "a replica that may lead" and not synchronous and configuration_of(cluster).synchronous:
        having[role] = []  # with synchronous replication only a standby may lead, even while none is chosen yet
    if role not in having:
        raise LookupError(f"there is no role {role!r}; choose one of {', '.join(having)}")
    if not having[role]:
        raise Inconclusive(f"no member is {role} now")
    return having[role][0]


def host_of(cluster: Cluster, role: str) -> Host:
    """The host of the member that has the role now."""
    return cluster.sandbox.hosts[member_by_role(cluster, role)]


def dcs_hosts(cluster: Cluster) -> list[str]:
    """The names of the hosts that run the DCS."""
    return _hosts_at(cluster, [address.host for address in cluster.topology.dcs])


def leader_of_dcs(cluster: Cluster) -> Host:
    """The host of the member that leads the DCS now."""
    return cluster.sandbox.hosts[_hosts_at(cluster, [dcs.leader(cluster.topology).host])[0]]


def proxy_host(cluster: Cluster) -> Host:
    """The host of the proxy through which clients reach the members."""
    return cluster.sandbox.hosts[_hosts_at(cluster, [cluster.topology.write.host])[0]]


def cache_host(cluster: Cluster) -> Host:
    """The host of the cache."""
    if cluster.topology.redis is None:
        raise NotAvailable("the target has no Redis (REDIS_HOST)")
    return cluster.sandbox.hosts[_hosts_at(cluster, [cluster.topology.redis.address.host])[0]]


def _hosts_at(cluster: Cluster, addresses: Collection[str]) -> list[str]:
    found = [name for name, host in cluster.sandbox.hosts.items() if host.address in addresses]
    if not found:
        raise LookupError(f"no host of the sandbox has one of the addresses {', '.join(addresses) or '(none given)'}")
    return found
