"""Finds the target of a fault: the member or host that has a role at the moment."""

import re
from collections.abc import Sequence

from support.errors import Inconclusive, NotAvailable
from support.hosts import Host
from support.hosts.interface import SiteHost
from support.target import dcs, etcd, haproxy
from support.target.cluster import Cluster
from support.target.discovery.addresses import names_of
from support.target.members import replica_states
from support.target.patroni_configuration import configuration_of
from support.target.purposes import purposes_of
from support.target.redis import primary_of
from support.vocabulary import Kind

ROLE = Kind(
    "role of a member",
    (
        "the leader",
        "a replica",
        "a replica that may lead",
        "the synchronous standby",
        "a replica that serves reads",
    ),
    more=r"(?:the leader|a replica|a replica that may lead|the synchronous standby) of worker group \d+",
    shown=("the leader of worker group 1",),
)
"""The roles by which scenarios refer to a member; see `member_by_role`."""
SYNCHRONOUS = frozenset({"sync_standby", "quorum_standby"})
_OF_WORKERS = re.compile(r"(?P<role>.+) of worker group (?P<number>\d+)")


def member_by_role(cluster: Cluster, role: str) -> str:
    """The member that has the role now: a key of `having`, or such as "the leader of worker group 1", the first one.

    Raises Inconclusive if no member has it, LookupError if there is no such role or group.
    """
    if of_workers := _OF_WORKERS.fullmatch(role):
        cluster, role = cluster.worker_group(int(of_workers["number"])), of_workers["role"]
    view = cluster.view()
    known = purposes_of(view.leader.name if view.leader else "", view.members, cluster.topology.delays)
    # First those that do all that a replica can do: a fault of one that serves nobody would show nothing.
    replicas = sorted(view.replicas, key=lambda one: (not known[one.name].ordinary, not known[one.name].shows_at_once))
    synchronous = [one.name for one in replicas if one.role in SYNCHRONOUS]
    states = replica_states(cluster) if role == "a replica that may lead" and not synchronous else {}
    able = [one.name for one in replicas if states.get(one.name) == "streaming" and known[one.name].may_lead]
    having = {
        "the leader": [one.name for one in view.members if one.leads],
        "a replica": [one.name for one in replicas],
        "a replica that may lead": synchronous or able,
        "the synchronous standby": synchronous,
        "a replica that serves reads": [],
    }
    if role == "a replica that serves reads":
        # First those that no commit waits for: writes go on while one of them is out.
        serving = [one for one in replicas if known[one.name].serves_at_once]
        having[role] = _in_proxy(
            cluster, [one.name for one in sorted(serving, key=lambda one: one.role in SYNCHRONOUS)]
        )
    if role == "a replica that may lead" and not synchronous and configuration_of(cluster).synchronous:
        having[role] = []  # with synchronous replication only a standby may lead, even while none is chosen yet
    if role not in having:
        raise LookupError(f"there is no role {role!r}; choose one of {', '.join(having)}")
    if not having[role]:
        raise Inconclusive(f"no member is {role} now")
    return having[role][0]


def _in_proxy(cluster: Cluster, names: Sequence[str]) -> list[str]:
    """Those that the proxy sends readers to, where its statistics tell."""
    known = haproxy.read_servers(cluster.topology)
    return [name for name in names if not known or (name in known and known[name].position == "up")]


def host_of(cluster: Cluster, role: str) -> SiteHost:
    """The host of the member that has the role now."""
    return cluster.site.hosts[member_by_role(cluster, role)]


def in_sandbox(host: SiteHost) -> Host:
    """The same host as one of our own sandbox, which can do more. Raises NotAvailable if it is a user's."""
    if not isinstance(host, Host):
        raise NotAvailable(f"{host.name} is not in a sandbox of the suite's own")
    return host


def dcs_hosts(cluster: Cluster) -> list[str]:
    """The names of the hosts that run the DCS."""
    return [host.name for host in _running_program(cluster, *dcs.PROGRAMS)]


def leader_of_dcs(cluster: Cluster) -> SiteHost:
    """The host of the member that leads the DCS now."""
    return _at(_running_program(cluster, "etcd"), *etcd.leader(cluster.topology))


def proxy_host(cluster: Cluster) -> SiteHost:
    """The host of the proxy through which clients reach the members."""
    return _at(_running_program(cluster, "haproxy"), cluster.topology.write.host)


def cache_host(cluster: Cluster) -> SiteHost:
    """The host of the cache: of the Redis that takes writes now."""
    if cluster.topology.redis is None:
        raise NotAvailable("the target has no Redis (REDIS_HOST)")
    return _at(_running_program(cluster, "redis"), primary_of(cluster.topology.redis).address.host)


def _running_program(cluster: Cluster, *programs: str) -> list[SiteHost]:
    found = [host for host in cluster.site.hosts.values() if host.processes.keys() & set(programs)]
    if not found:
        raise LookupError(f"no host of the cluster is known to run {' or '.join(programs)}")
    return found


def _at(hosts: Sequence[SiteHost], *names: str) -> SiteHost:
    """The host with the first of these names or addresses that any has; the only host may have none of them."""
    for name in names:
        known = names_of(name)
        if found := [host for host in hosts if known & {host.name, *host.addresses}]:
            return found[0]
    if len(hosts) == 1:
        return hosts[0]
    raise LookupError(f"none of {', '.join(host.name for host in hosts)} is at {' or '.join(names)}")
