"""Which hosts run the components other than the members now: the DCS, the proxy and the cache."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address

from support import sql
from support.errors import ConnectFailed, ProcessFailed
from support.hosts.interface import SiteHost
from support.target import dcs, etcd
from support.target.cluster import Cluster
from support.target.discovery.addresses import names_of
from support.target.members import NO_ANSWER
from support.target.redis import ERRORS, primaries_of, primary_of
from support.target.topology import RedisAddress, Topology


def dcs_hosts(cluster: Cluster) -> list[str]:
    """The names of the hosts that run the DCS."""
    return [host.name for host in _running_program(cluster, *dcs.PROGRAMS)]


def dcs_beside_members(topology: Topology) -> bool:
    """Whether the host of a member is known to run etcd or a server of Consul, too.

    Then both may lose their leader at once, and the DCS' next leader lets locks last longer. (Whether ZooKeeper's does
    is not known.)
    """
    members = {one.name for one in (*topology.members, *topology.absent)}
    return dcs.program(topology) in ("etcd", "consul") and not members.isdisjoint(with_dcs(topology))


def with_dcs(topology: Topology) -> frozenset[str]:
    """The hosts of a user's that are known to run the DCS, by their names in [hosts]."""
    program = dcs.program(topology)
    return frozenset(name for name, host in topology.hosts.items() if program in host.programs)


def leader_of_dcs(cluster: Cluster) -> SiteHost:
    """The host of the member that leads the DCS now."""
    return _at(_running_program(cluster, "etcd"), *etcd.leader(cluster.topology), alone=True)


def proxy_host(cluster: Cluster) -> SiteHost:
    """The host of the proxy through which clients reach the members."""
    hosts, given = _running_program(cluster, "haproxy"), cluster.topology.write.host
    with suppress(LookupError):
        return _at(hosts, given)
    # The address may be a virtual one that another proxy has now, or lead to a published port of a container.
    seen = _seen_by_leader(cluster)
    others = [host for host in cluster.site.hosts.values() if host not in hosts]
    return _at(hosts, given, *seen, alone=not _known(others, *seen))


def cache_host(cluster: Cluster, primary: RedisAddress | None = None) -> SiteHost:
    """The host of that Redis; by default of one that takes writes now."""
    server, hosts = cluster.redis_address, _running_program(cluster, "redis")
    return _at(hosts, (primary or primary_of(server)).address.host, alone=server.mode == "standalone")


def _each_cache_host(cluster: Cluster) -> Sequence[SiteHost]:
    """The hosts of all servers that take writes: a fault hits the one that has the keys of its scenario."""
    return [cache_host(cluster, one) for one in primaries_of(cluster.redis_address)]


_OF: Mapping[str, Callable[[Cluster], object]] = {
    "dcs_hosts": leader_of_dcs,
    "proxy_host": proxy_host,
    "cache_host": _each_cache_host,
}
"""Capability -> how its host is found."""
_WITH = {"dcs_hosts": ("dcs_links",), "proxy_host": ("proxy_reload",)}
"""Capability -> further capabilities that depend on it."""


def unknown(cluster: Cluster) -> dict[str, str]:
    """Capability -> why no fault of that component can be injected: its host cannot be determined."""
    lacks = dict[str, str]()
    for capability, find in _OF.items():
        if capability in cluster.topology.lacks or (find is leader_of_dcs and not _is_etcd(cluster)):
            continue
        with suppress(*NO_ANSWER, *ERRORS, ProcessFailed):  # a silent component is left for the scenarios to find
            try:
                find(cluster)
            except LookupError as error:
                lacks |= dict.fromkeys((capability, *_WITH.get(capability, ())), str(error))
    return lacks


def _is_etcd(cluster: Cluster) -> bool:
    """Only etcd tells which member leads."""
    return dcs.program(cluster.topology) == "etcd"


def _seen_by_leader(cluster: Cluster) -> tuple[str, ...]:
    """The address from which the proxy connects to the leader; empty if PostgreSQL shows none but its own.

    A pooler on a member's machine connects to PostgreSQL from there, so that PostgreSQL sees a member's address.
    """
    try:
        [(client, server)] = sql.rows(cluster.write, "SELECT host(inet_client_addr()), host(inet_server_addr())")
    except (sql.Error, ConnectFailed):
        return ()
    if client is None or client == server or ip_address(client).is_loopback:
        return ()
    members, hosts = cluster.topology.members, cluster.site.hosts
    if any(client in names_of(one.postgres.host) for one in members):
        return ()
    return () if _known([hosts[one.name] for one in members if one.name in hosts], client) else (client,)


def _known(hosts: Sequence[SiteHost], *addresses: str) -> bool:
    """Whether any of these addresses was found or said to be one of these hosts'."""
    return any({*addresses} & {*host.addresses} for host in hosts)


def _running_program(cluster: Cluster, *programs: str) -> list[SiteHost]:
    found = [host for host in cluster.site.hosts.values() if host.processes.keys() & set(programs)]
    if not found:
        raise LookupError(f"no host of the cluster is known to run {' or '.join(programs)}")
    return found


def _at(hosts: Sequence[SiteHost], *names: str, alone: bool = False) -> SiteHost:
    """The host with the first of these names or addresses that any host has now, or else had when it was discovered.

    `alone`: the component is known to be on a single host, so a single candidate need not match. Raises LookupError.
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
        f"none of {', '.join(host.name for host in hosts)} is at {' or '.join(names)}: the right host may be missing "
        "from [hosts], or its address from its table there"
    )
