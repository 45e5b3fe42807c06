"""Faults of the network: partitions, one-way cuts, latency, packet loss. A sandbox of loopback has none of them.

The functions at the end make the faults that scenarios name by the roles of the hosts.
"""

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from support.errors import Inconclusive
from support.faults.naming import Names
from support.faults.nemesis import FaultOnHosts
from support.faults.process import HostCrash
from support.hosts.interface import Flow, Pair, Site, SiteHost
from support.target import etcd
from support.target.cluster import Cluster
from support.target.component_hosts import dcs_hosts, leader_of_dcs, proxy_host
from support.target.discovery.addresses import names_of
from support.target.purposes import purposes
from support.target.topology import Topology
from support.vocabulary import Kind
from support.waiting import NotYet

T = TypeVar("T")

LOSS_SHOWN_BY = 60
"""Datagrams of a flow, of which some must be lost. If none is, as many more are sent: by chance all may arrive."""
LATENCY_SHOWN_BY = 5


@dataclass(frozen=True)
class Partition(FaultOnHosts):
    """No packet gets from one group of hosts to the other, nor back. The suite's own clients reach both."""

    site: Site
    hosts: Collection[str]
    others: Collection[str]

    @property
    def target_member(self) -> str:
        """See Fault."""
        return next(iter(self.hosts))

    @property
    def whole_hosts(self) -> Collection[str]:
        """See Fault: no program there reaches the others."""
        return self.hosts

    def told(self, names: Names) -> str:
        one, other = names.ends(self.hosts, self.others)
        return f"{one} cut off from {other}"

    def prepare(self) -> None:
        """See Fault."""
        self.site.network.prepare(_both_ways(self.hosts, self.others))

    def on_hosts(self) -> None:
        self.site.network.cut_all(_both_ways(self.hosts, self.others))

    def require_in_effect(self) -> None:
        self.site.network.require_cut(_both_ways(self.hosts, self.others))

    def heal(self) -> None:
        self.site.network.reconnect_all(_both_ways(self.hosts, self.others))


@dataclass(frozen=True)
class OneWayCut(FaultOnHosts):
    """No packet gets from one host to another; the way back is open."""

    site: Site
    source: str
    target: str

    def told(self, names: Names) -> str:
        source, target = names.ends([self.source], [self.target])
        return f"nothing gets from {source} to {target}"

    def prepare(self) -> None:
        """See Fault."""
        self.site.network.prepare([(self.source, self.target)])

    def on_hosts(self) -> None:
        self.site.network.cut_all([(self.source, self.target)])

    def require_in_effect(self) -> None:
        self.site.network.require_cut([(self.source, self.target)], open_pairs=[(self.target, self.source)])

    def heal(self) -> None:
        self.site.network.reconnect_all([(self.source, self.target)])


@dataclass(frozen=True)
class PoorLinks(FaultOnHosts):
    """Every packet between any two of these hosts takes longer, or is lost with a probability (0 to 1)."""

    site: Site
    hosts: Collection[str]
    latency: float = 0.0
    """Seconds added each way."""
    loss: float = 0.0
    _seen: dict[Pair, Flow] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was measured since it was injected."""

    def told(self, names: Names) -> str:
        latency = [f"{self.latency * 1000:g} ms more latency"] if self.latency else []
        loss = [f"packet loss of {self.loss:.0%}"] if self.loss else []
        everywhere = {*self.hosts} >= {*self.site.hosts}
        return f"{' and '.join(latency + loss)} {'everywhere' if everywhere else f'between {names.each(self.hosts)}'}"

    def on_hosts(self) -> None:
        self._seen.clear()
        self.site.network.degrade(self.hosts, self.latency, self.loss)

    def require_in_effect(self) -> None:
        """No datagram is faster than the latency on any way between two hosts; each way loses some, and all together
        about as many as they should.
        """
        pairs = list(itertools.permutations(self.hosts, 2))
        found = self.site.network.measure(pairs, LOSS_SHOWN_BY if self.loss else LATENCY_SHOWN_BY, self.latency)
        self._seen.update({pair: self._seen.get(pair, Flow(0, 0, None)) + flow for pair, flow in found.items()})
        require_poor(self._seen, self.latency, self.loss)

    def heal(self) -> None:
        self.site.network.restore(self.hosts)


def require_poor(flows: Mapping[Pair, Flow], latency: float, loss: float) -> None:
    """Raises NotYet unless every flow has at least this latency (seconds) and loss, the share lost of all about `loss`.

    "About" is between half and twice as much: of a few thousand datagrams, chance alone takes neither more nor less.
    """
    for (source, target), flow in flows.items():
        if flow.fastest is None:
            raise NotYet(f"nothing gets from {source} to {target}")
        if flow.fastest < latency:
            raise NotYet(f"a datagram gets from {source} to {target} in {flow.fastest * 1000:.1f} ms")
        if loss and not flow.lost:
            raise NotYet(f"none of {flow.sent} datagrams from {source} to {target} is lost")
    lost, sent = sum(flow.lost for flow in flows.values()), sum(flow.sent for flow in flows.values())
    if loss and not loss / 2 <= lost / sent <= 2 * loss:
        raise NotYet(f"{lost} of {sent} datagrams are lost, {lost / sent:.1%}")


class QuorumLost(HostCrash):
    """The hosts of a majority of the DCS crash at once, and the remaining members are no quorum."""

    def __init__(self, topology: Topology, hosts: Collection[SiteHost]) -> None:
        super().__init__(*hosts)
        self._topology = topology
        known = {name for host in hosts for name in (host.name, *host.addresses)}
        self._survivors = [address for address in topology.dcs if not known & names_of(address.host)]

    def require_in_effect(self) -> None:
        """Also asks etcd's surviving members. With any other DCS, only the state of the hosts shows it."""
        super().require_in_effect()
        if serving := etcd.serving(self._topology, self._survivors):
            raise NotYet(f"etcd still has a quorum, according to {', '.join(serving)}")
        if electable := etcd.electable(self._topology, self._survivors):  # the one that crashed may have led them
            raise NotYet(f"etcd still has a quorum, but no leader now, according to {', '.join(electable)}")


def _both_ways(hosts: Collection[str], others: Collection[str]) -> list[Pair]:
    return [pair for one, other in itertools.product(hosts, others) for pair in ((one, other), (other, one))]


ALONE, WITH_ITS_CLIENTS = "every other host", "all but its clients"
_FROM: Mapping[str, Callable[[Cluster], Collection[str]]] = {
    ALONE: lambda cluster: cluster.site.hosts,
    "the DCS": dcs_hosts,
    WITH_ITS_CLIENTS: lambda cluster: cluster.site.hosts.keys() - {proxy_host(cluster).name},
}
_A_MAJORITY = "a majority"
_OF_DCS: Mapping[str, Callable[[Cluster], list[SiteHost]]] = {
    "the leading member": lambda cluster: [leader_of_dcs(cluster)],
    _A_MAJORITY: lambda cluster: _majority(cluster),
}
_DCS_LINKS: Mapping[str, Callable[[Site, str, str], Partition | OneWayCut]] = {
    "between the leading member of the DCS and another one": lambda site, one, other: Partition(site, [one], [other]),
    "from the leading member of the DCS to another one": OneWayCut,
}
_DEGRADED: Mapping[str, Callable[[Cluster], PoorLinks]] = {
    "gets 100 ms slower": lambda cluster: PoorLinks(cluster.site, tuple(cluster.site.hosts), latency=0.1),
    "loses one packet in ten": lambda cluster: PoorLinks(cluster.site, tuple(cluster.site.hosts), loss=0.1),
}


OTHERS = Kind.of("part of the cluster to be cut off from", _FROM)
PART_OF_DCS = Kind.of("part of the DCS", _OF_DCS)
DCS_LINK = Kind.of("link of the DCS", _DCS_LINKS)
DEGRADATION = Kind.of("way to degrade links", _DEGRADED)


def partition_of_leader(cluster: Cluster, others: str) -> Partition:
    """The leader's host cut off from `others`: one of the keys of _FROM."""
    leader = cluster.leader()
    return Partition(cluster.site, [leader], sorted({*_named(_FROM, others)(cluster)} - {leader}))


def lost_answers(cluster: Cluster) -> OneWayCut:
    """Packets from the leader do not reach the proxy; the other direction is open."""
    return OneWayCut(cluster.site, cluster.leader(), proxy_host(cluster).name)


def cut_from_source(cluster: Cluster, replica: str) -> Partition:
    """A replica cut off from the member alone from which it streams, which may be another replica."""
    known = purposes(cluster).get(replica)
    return Partition(cluster.site, [replica], [known.source if known and known.source else cluster.leader()])


def deaf(cluster: Cluster, replica: str) -> OneWayCut:
    """Packets from the leader do not reach the replica; the other direction is open."""
    return OneWayCut(cluster.site, cluster.leader(), replica)


def crash_in_dcs(cluster: Cluster, part: str) -> HostCrash:
    """The hosts of a part of the DCS crash at once: one of the keys of _OF_DCS."""
    hosts = _named(_OF_DCS, part)(cluster)
    return QuorumLost(cluster.topology, hosts) if part == _A_MAJORITY else HostCrash(*hosts)


def broken_link_of_dcs(cluster: Cluster, link: str) -> Partition | OneWayCut:
    """Nothing gets through a link of the member that leads the DCS: one of DCS_LINK. Both still reach all others.

    Raises Inconclusive if no other member of the DCS is up.
    """
    leading = leader_of_dcs(cluster).name
    others = [name for name in sorted(dcs_hosts(cluster)) if name != leading and cluster.site.hosts[name].powered]
    if not others:
        raise Inconclusive(f"{leading} is the only member of the DCS that is up")
    return _named(_DCS_LINKS, link)(cluster.site, leading, others[-1])


def poor_links(cluster: Cluster, degradation: str) -> PoorLinks:
    """Every link between two hosts degrades: one of the keys of _DEGRADED."""
    return _named(_DEGRADED, degradation)(cluster)


def _named(choices: Mapping[str, T], name: str) -> T:
    if name not in choices:
        raise LookupError(f"there is no {name!r}; choose one of {', '.join(choices)}")
    return choices[name]


def _majority(cluster: Cluster) -> list[SiteHost]:
    hosts = [cluster.site.hosts[name] for name in dcs_hosts(cluster)]
    return hosts[: len(hosts) // 2 + 1]
