"""Faults of the network: partitions, one-way cuts, latency, packet loss. Only a sandbox of namespaces can inject them.

The functions at the end make the faults that scenarios name by the roles of the hosts.
"""

import itertools
import sys
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from support.errors import ProcessFailed
from support.faults.nemesis import Fault
from support.faults.process import EveryHostCrashes
from support.faults.roles import dcs_hosts, leader_of_dcs, proxy_host
from support.hosts import Host, Sandbox
from support.target.cluster import Cluster
from support.vocabulary import Kind
from support.waiting import NotYet

T = TypeVar("T")

CLOSED_PORT = 9  # nobody listens there: a packet that gets through is refused at once
PATIENCE = 0.4  # seconds without an answer that mean "cut"; a first retransmission would come after 1 s

_PROBE = f"""
import socket, sys, time
begun = time.monotonic()
try:
    socket.create_connection((sys.argv[1], {CLOSED_PORT}), float(sys.argv[2])).close()
except ConnectionRefusedError:
    pass
except OSError as error:
    sys.exit(f"no answer: {{error}}")
print(time.monotonic() - begun)
"""


def round_trip(sandbox: Sandbox, source: str, target: str, patience: float = PATIENCE) -> float | None:
    """Seconds that a packet takes there and back; None if nothing comes back."""
    hosts = sandbox.hosts
    probe = [sys.executable, "-S", "-c", _PROBE, hosts[target].address, str(patience)]
    try:
        return float(hosts[source].run(probe).stdout)
    except ProcessFailed as error:
        if "no answer" in str(error):
            return None
        raise


def require_unreachable(sandbox: Sandbox, source: str, target: str) -> None:
    """Raises NotYet while packets get from `source` to `target` and back."""
    took = round_trip(sandbox, source, target)
    if took is not None:
        raise NotYet(f"{source} reaches {target} in {took * 1000:.1f} ms")


@dataclass(frozen=True)
class Partition:
    """No packet gets from one group of hosts to the other, nor back. The suite's own clients reach both."""

    sandbox: Sandbox
    hosts: Collection[str]
    others: Collection[str]

    def __str__(self) -> str:
        return f"{', '.join(self.hosts)} cut off from {', '.join(self.others)}"

    def inject(self) -> None:
        for source, target in _both_ways(self.hosts, self.others):
            self.sandbox.network.cut(source, target)

    def require_in_effect(self) -> None:
        # All pairs at once: a leader that is cut off stops leading within seconds.
        pairs = list(itertools.product(self.hosts, self.others))
        with ThreadPoolExecutor(len(pairs)) as probing:
            list(probing.map(lambda pair: require_unreachable(self.sandbox, *pair), pairs))

    def heal(self) -> None:
        for source, target in _both_ways(self.hosts, self.others):
            self.sandbox.network.mend(source, target)


@dataclass(frozen=True)
class OneWayCut:
    """No packet gets from one host to another; the way back is open."""

    sandbox: Sandbox
    source: str
    target: str

    def __str__(self) -> str:
        return f"nothing gets from {self.source} to {self.target}"

    def inject(self) -> None:
        self.sandbox.network.cut(self.source, self.target)

    def require_in_effect(self) -> None:
        require_unreachable(self.sandbox, self.source, self.target)

    def heal(self) -> None:
        self.sandbox.network.mend(self.source, self.target)


@dataclass(frozen=True)
class PoorLinks:
    """Every packet between any two of these hosts takes longer, or is lost with a probability (0 to 1)."""

    sandbox: Sandbox
    hosts: Collection[str]
    latency: float = 0.0
    """Seconds added each way."""
    loss: float = 0.0

    def __str__(self) -> str:
        return f"{self.latency * 1000:g} ms more and {self.loss:.0%} loss between {', '.join(self.hosts)}"

    def inject(self) -> None:
        for source, target in itertools.permutations(self.hosts, 2):
            self.sandbox.network.shape(source, target, latency=self.latency, loss=self.loss)

    def require_in_effect(self) -> None:
        """A round trip takes at least twice the latency. Loss is not checked: its effect is too rare to see quickly."""
        source, target = list(self.hosts)[:2]
        took = round_trip(self.sandbox, source, target, patience=2 * self.latency + 1)
        if took is not None and took < 2 * self.latency:
            raise NotYet(f"a round trip from {source} to {target} takes {took * 1000:.1f} ms")

    def heal(self) -> None:
        for source, target in itertools.permutations(self.hosts, 2):
            self.sandbox.network.shape(source, target)


def _both_ways(hosts: Collection[str], others: Collection[str]) -> list[tuple[str, str]]:
    return [pair for one, other in itertools.product(hosts, others) for pair in ((one, other), (other, one))]


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


OTHERS = Kind.of("part of the cluster to be cut off from", _FROM)
PART_OF_DCS = Kind.of("part of the DCS", _OF_DCS)
WORSENING = Kind.of("way to worsen links", _WORSENED)


def partition_of_leader(cluster: Cluster, others: str) -> Partition:
    """The leader's host cut off from `others`: one of the keys of _FROM."""
    leader = cluster.leader()
    return Partition(cluster.sandbox, [leader], sorted({*_named(_FROM, others)(cluster)} - {leader}))


def crash_in_dcs(cluster: Cluster, part: str) -> Fault:
    """The hosts of a part of the DCS crash at once: one of the keys of _OF_DCS."""
    return EveryHostCrashes(_named(_OF_DCS, part)(cluster))


def poor_links(cluster: Cluster, how: str) -> PoorLinks:
    """Every link between two hosts worsens: one of the keys of _WORSENED."""
    return _named(_WORSENED, how)(cluster)


def _named(choices: Mapping[str, T], name: str) -> T:
    if name not in choices:
        raise LookupError(f"there is no {name!r}; choose one of {', '.join(choices)}")
    return choices[name]


def _majority(cluster: Cluster) -> list[Host]:
    hosts = [cluster.sandbox.hosts[name] for name in dcs_hosts(cluster)]
    return hosts[: len(hosts) // 2 + 1]
