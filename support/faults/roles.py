"""Finds the target of a fault: the member or host that has a role at the moment."""

import re
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

from support import sql
from support.errors import ConnectFailed, Inconclusive, NotAvailable
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
    return _at(_running_program(cluster, "etcd"), *etcd.leader(cluster.topology), alone=True)


def proxy_host(cluster: Cluster) -> SiteHost:
    """The host of the proxy through which clients reach the members."""
    hosts, given = _running_program(cluster, "haproxy"), cluster.topology.write.host
    with suppress(LookupError):
        return _at(hosts, given)
    # At a virtual address, say, that is another proxy's now; or at a published port of a container.
    seen = _seen_by_leader(cluster)
    return _at(hosts, given, *seen, alone=not seen)


def cache_host(cluster: Cluster) -> SiteHost:
    """The host of the cache: of the Redis that takes writes now."""
    server = cluster.redis_address
    return _at(_running_program(cluster, "redis"), primary_of(server).address.host, alone=server.mode == "standalone")


def _seen_by_leader(cluster: Cluster) -> tuple[str, ...]:
    """The address from which the proxy connects to the leader; empty if PostgreSQL does not tell another one's."""
    try:
        found = sql.value(cluster.write, "SELECT host(inet_client_addr())")
    except (sql.Error, ConnectFailed):
        return ()
    return (str(found),) if found and not ip_address(str(found)).is_loopback else ()


def _running_program(cluster: Cluster, *programs: str) -> list[SiteHost]:
    found = [host for host in cluster.site.hosts.values() if host.processes.keys() & set(programs)]
    if not found:
        raise LookupError(f"no host of the cluster is known to run {' or '.join(programs)}")
    return found


def _at(hosts: Sequence[SiteHost], *names: str, alone: bool = False) -> SiteHost:
    """The host with the first of these names or addresses that any has: has now, or was found or said to have.

    `alone`: the component is known to be on one host, which may then have none of them. Raises LookupError.
    """
    present = {host.name: {*host.present_addresses()} for host in hosts}
    for name in names:
        known = names_of(name)
        now = [host for host in hosts if known & {host.name, *present[host.name]}]
        if found := now or [host for host in hosts if known & {*host.addresses}]:
            return found[0]
    if alone and len(hosts) == 1:
        return hosts[0]
    raise LookupError(
        f"none of {', '.join(host.name for host in hosts)} is at {' or '.join(names)}: the host that is may be missing "
        "in [hosts], or its address in its table there"
    )
