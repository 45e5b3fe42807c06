"""Cuts, crashes and poor links, as scenarios speak of them: by the roles of the hosts that they hit."""

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from support.cluster.cluster import Cluster
from support.faults.disaster import EveryHostCrashes
from support.faults.nemesis import Fault
from support.faults.network import Partition, PoorLinks
from support.faults.targets import dcs_hosts, leader_of_dcs, proxy_host
from support.hosts import Host

T = TypeVar("T")

_FROM: Mapping[str, Callable[[Cluster], Collection[str]]] = {
    "every other host": lambda cluster: cluster.sandbox.hosts,
    "the DCS": dcs_hosts,
    "all but its clients": lambda cluster: cluster.sandbox.hosts.keys() - {proxy_host(cluster).name},
}
_OF_DCS: Mapping[str, Callable[[Cluster], list[Host]]] = {
    "the leading member": lambda cluster: [leader_of_dcs(cluster)],
    "a majority": lambda cluster: _majority(cluster),
}
_WORSENED: Mapping[str, Callable[[Cluster], PoorLinks]] = {
    "gets 100 ms slower": lambda cluster: PoorLinks(cluster.sandbox, tuple(cluster.sandbox.hosts), latency=0.1),
    "loses one packet in ten": lambda cluster: PoorLinks(cluster.sandbox, tuple(cluster.sandbox.hosts), loss=0.1),
}


def of_leader(cluster: Cluster, others: str) -> Partition:
    """The leader's host cut off from others, named as above."""
    leader = cluster.leader()
    return Partition(cluster.sandbox, [leader], sorted({*_named(_FROM, others)(cluster)} - {leader}))


def crash_in_dcs(cluster: Cluster, part: str) -> Fault:
    """The hosts of a part of the DCS, named as above, crash at once."""
    return EveryHostCrashes(_named(_OF_DCS, part)(cluster))


def poor_links(cluster: Cluster, how: str) -> PoorLinks:
    """Every link between two hosts worsens, in a way named as above."""
    return _named(_WORSENED, how)(cluster)


def _named(choices: Mapping[str, T], name: str) -> T:
    if name not in choices:
        raise LookupError(f"nothing is called {name!r}; there are {', '.join(choices)}")
    return choices[name]


def _majority(cluster: Cluster) -> list[Host]:
    hosts = [cluster.sandbox.hosts[name] for name in dcs_hosts(cluster)]
    return hosts[: len(hosts) // 2 + 1]
