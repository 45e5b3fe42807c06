"""The hosts of an embedded cluster by role; sabotages change files and programs there, which faults never do."""

from support.faults import roles
from support.hosts import Host
from support.target import component_hosts
from support.target.cluster import Cluster


def host_of(cluster: Cluster, role: str) -> Host:
    """The host of the member that has the role now."""
    return roles.in_sandbox(roles.host_of(cluster, role))


def leader_of_dcs(cluster: Cluster) -> Host:
    """The host of the member that leads the DCS now."""
    return roles.in_sandbox(component_hosts.leader_of_dcs(cluster))


def proxy_host(cluster: Cluster) -> Host:
    """The host of the proxy through which clients reach the members."""
    return roles.in_sandbox(component_hosts.proxy_host(cluster))


def cache_host(cluster: Cluster) -> Host:
    """The host of the cache."""
    return roles.in_sandbox(component_hosts.cache_host(cluster))
