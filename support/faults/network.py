"""Faults of the network: partitions, one-way cuts, latency, loss. Only a sandbox of namespaces can do them."""

import itertools
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from support.faults.reaching import require_unreachable, round_trip
from support.hosts import Sandbox
from support.waiting import NotYet


@dataclass(frozen=True)
class Partition:
    """Nothing gets from one group of hosts to the other, nor back. Clients of the suite reach both."""

    sandbox: Sandbox
    hosts: Collection[str]
    others: Collection[str]

    def __str__(self) -> str:
        return f"{', '.join(self.hosts)} cut off from {', '.join(self.others)}"

    def inject(self) -> None:
        for source, target in _both_ways(self.hosts, self.others):
            self.sandbox.network.cut(source, target)

    def require_bitten(self) -> None:
        # At once: a leader that is cut off stops to lead within seconds.
        pairs = list(itertools.product(self.hosts, self.others))
        with ThreadPoolExecutor(len(pairs)) as probing:
            list(probing.map(lambda pair: require_unreachable(self.sandbox, *pair), pairs))

    def cure(self) -> None:
        for source, target in _both_ways(self.hosts, self.others):
            self.sandbox.network.mend(source, target)


@dataclass(frozen=True)
class OneWayCut:
    """Nothing gets from one host to another; the way back is open."""

    sandbox: Sandbox
    source: str
    target: str

    def __str__(self) -> str:
        return f"nothing gets from {self.source} to {self.target}"

    def inject(self) -> None:
        self.sandbox.network.cut(self.source, self.target)

    def require_bitten(self) -> None:
        require_unreachable(self.sandbox, self.source, self.target)

    def cure(self) -> None:
        self.sandbox.network.mend(self.source, self.target)


@dataclass(frozen=True)
class PoorLinks:
    """Every packet between any two of these hosts takes longer, or is lost with some chance (0 to 1)."""

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

    def require_bitten(self) -> None:
        """A round trip takes twice the latency; loss is not looked for, its effect is too rare to be quick."""
        source, target = list(self.hosts)[:2]
        took = round_trip(self.sandbox, source, target, patience=2 * self.latency + 1)
        if took is not None and took < 2 * self.latency:
            raise NotYet(f"a round trip from {source} to {target} takes {took * 1000:.1f} ms")

    def cure(self) -> None:
        for source, target in itertools.permutations(self.hosts, 2):
            self.sandbox.network.shape(source, target)


def _both_ways(hosts: Collection[str], others: Collection[str]) -> list[tuple[str, str]]:
    return [pair for one, other in itertools.product(hosts, others) for pair in ((one, other), (other, one))]
