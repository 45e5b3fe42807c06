"""Cuts of the network between a user's hosts, by rules of our own on the host that applies them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from support.errors import Inconclusive, NotAvailable
from support.hosts.interface import Flow, Pair, raise_one_of
from support.hosts.remote.guards import HostFault
from support.waiting import NotYet

if TYPE_CHECKING:
    from support.hosts.remote.machines import RemoteHost

_PATIENCE = 3
"""Seconds that a connection attempt waits for an answer, on a busy host, too."""
_ATTEMPTS = 3
_PACKETS_OF_A_PROBE = 3
"""At the least, in each direction, of a connection that is tried."""
_PORTS = 2
"""How many ports of each host are tried, at most, with a connection each."""


class RemoteNetwork:
    """The links between a user's hosts. One host of each pair applies the cut, and there both ways can be cut."""

    def __init__(self, hosts: "Mapping[str, RemoteHost]") -> None:
        self._hosts = hosts
        self._cuts: dict[frozenset[Pair], dict[str, HostFault]] = {}
        self._losses: dict[str, HostFault] = {}
        self._seen: Counter[tuple[Pair, str]] = Counter()
        self._answered: dict[str, dict[str, str]] = {}
        """Cut-off host -> "address,port" that answered before the cut -> the host that it belongs to."""

    def prepare(self, pairs: Collection[Pair]) -> None:
        """See SiteNetwork. What is reached before the cut is what must not be reached after it."""
        for cut_host, own in self._by_host(pairs).items():
            others = {name for pair in own for name in pair if name != cut_host}
            self._answered[cut_host] = self._reached(self._hosts[cut_host], others)

    def cut_all(self, pairs: Collection[Pair]) -> None:
        """See SiteNetwork. Raises HostRefused before anything is done if a cut would be of the suite's own line."""
        key = frozenset(pairs)
        if any(fault in self._hosts[name].guards.active for name, fault in self._cuts.get(key, {}).items()):
            return
        made = self._cuts[key] = {}
        for cut_host, own in self._by_host(pairs).items():
            host = self._hosts[cut_host]
            made[cut_host] = host.cut(self._rules(host, own))

    def reconnect_all(self, pairs: Collection[Pair]) -> None:
        """See SiteNetwork."""
        _heal_each(self._hosts, list(self._cuts.get(frozenset(pairs), {}).items()))

    def require_cut(self, pairs: Collection[Pair], open_pairs: Collection[Pair] = ()) -> None:
        """See SiteNetwork. Only what answered before the cut is evidence: connections to it must get no answer.

        Raises Inconclusive where nothing answered before.
        """
        made = self._cuts.get(frozenset(pairs), {})
        for cut_host, own in self._by_host(pairs).items():
            host, answered = self._hosts[cut_host], self._answered.get(cut_host, {})
            if not answered:
                raise Inconclusive(
                    f"{cut_host} could not reach any of the hosts that it is cut off from before the cut, either"
                )
            now = self._probe(host, set(answered.values()), only=answered)
            if through := [f"{name} at {place}" for place, name in now.items()]:
                raise NotYet(f"{cut_host} still reaches {', '.join(through)}")
            dropped = self._counted(host, made[cut_host])
            for source, target in own:
                way, other = ("out", target) if source == cut_host else ("in", source)
                if way == "in" and (cut_host, other) in own:
                    continue  # nothing answers what was never sent
                if other in answered.values() and not self._packets(dropped, way, other):
                    raise NotYet(f"no packet from {source} to {target} was dropped yet")
            for source, target in open_pairs:
                if target == cut_host and not self._packets(dropped, "seen", source):
                    raise NotYet(f"no packet from {source} arrives at {target} either")

    def degrade(self, hosts: Collection[str], latency: float, loss: float) -> None:
        """See SiteNetwork. Packets are lost where they arrive: the sender is not told. None can be delayed."""
        if latency:
            raise NotAvailable("the suite cannot slow down the links of a user's hosts")
        self._seen.clear()
        for name in hosts:
            host = self._hosts[name]
            others = [address for other in hosts if other != name for address in self._addresses(host, other)]
            self._losses[name] = host.lose(loss, others)

    def restore(self, hosts: Collection[str]) -> None:
        """See SiteNetwork."""
        _heal_each(self._hosts, [(name, self._losses[name]) for name in hosts if name in self._losses])

    def measure(self, pairs: Collection[Pair], packets: int, latency: float = 0.0) -> Mapping[Pair, Flow]:
        """See SiteNetwork. What the hosts send one another anyway counts as well."""
        by_source: dict[str, set[str]] = {}
        for source, target in pairs:
            by_source.setdefault(source, set()).add(target)
        with ThreadPoolExecutor(len(by_source)) as each:
            list(each.map(lambda source: self._send(source, by_source[source], packets), by_source))
        flows = {}
        for target in {target for _, target in pairs}:
            counted = self._counted(self._hosts[target], self._losses[target])
            for source in {source for source, other in pairs if other == target}:
                sent, lost = (self._more((source, target), counted, way) for way in ("seen", "in"))
                flows[source, target] = Flow(sent, sent - lost, 0.0 if sent > lost else None)
        return flows

    def _send(self, source: str, targets: Collection[str], packets: int) -> None:
        host = self._hosts[source]
        places = [
            f"{address},{port}"
            for other in targets
            for address in self._addresses(host, other)
            for port in self._hosts[other].access.ports[:1]
        ]
        host.probing.run("knock", str(-(-packets // _PACKETS_OF_A_PROBE)), *places)

    def _more(self, pair: Pair, counted: Mapping[tuple[str, str], int], way: str) -> int:
        """The packets that were counted since the last call."""
        now = self._packets(counted, way, pair[0])
        before, self._seen[pair, way] = self._seen[pair, way], now
        return now - before

    def _by_host(self, pairs: Collection[Pair]) -> dict[str, list[Pair]]:
        """The host on which each pair is cut: as few hosts as possible, of those that can."""
        able = {name for name, host in self._hosts.items() if host.access.cutter}
        found: dict[str, list[Pair]] = {}
        left = list(pairs)
        while left:
            votes = Counter(name for pair in left for name in pair if name in able)
            if not votes:
                raise NotAvailable(f"neither {' nor '.join(left[0])} can cut links: there is no nft or iptables to use")
            most = max(votes.values())
            cut_host = next(name for name in dict.fromkeys(n for pair in left for n in pair) if votes[name] == most)
            found[cut_host] = [pair for pair in left if cut_host in pair]
            left = [pair for pair in left if cut_host not in pair]
        return found

    def _rules(self, host: "RemoteHost", pairs: Collection[Pair]) -> list[str]:
        rules = []
        for source, target in pairs:
            way, other = ("out", target) if source == host.name else ("in", source)
            rules += [f"{way}:{address}" for address in self._addresses(host, other)]
            if way == "out" and (other, host.name) not in pairs:
                rules += [f"seen:{address}" for address in self._addresses(host, other)]
        return rules

    def _addresses(self, host: "RemoteHost", other: str) -> list[str]:
        """The addresses of another host, except those that `host` has, too, such as that of a bridge for containers."""
        return [one for one in self._hosts[other].addresses if one not in host.addresses]

    def _reached(self, host: "RemoteHost", others: Collection[str]) -> dict[str, str]:
        """What answers before a cut. Asked again while one of the hosts says nothing: it may only be busy."""
        found: dict[str, str] = {}
        for _ in range(_ATTEMPTS):
            found |= self._probe(host, set(others) - set(found.values()))
            if set(found.values()) == set(others):
                break
        return found

    def _probe(self, host: "RemoteHost", others: Collection[str], only: Collection[str] = ()) -> dict[str, str]:
        """The "address,port" of those hosts that answer -> the host."""
        places = {
            f"{address},{port}": other
            for other in others
            for address in self._addresses(host, other)
            for port in self._hosts[other].access.ports[:_PORTS]
        }
        asked = [place for place in places if not only or place in only]
        said = host.probing.run("probe", str(_PATIENCE), *asked) if asked else ""
        answers = dict(line.split("\t", 1) for line in said.splitlines() if "\t" in line)
        return {place: places[place] for place, answer in answers.items() if answer == "answers" and place in places}

    def _counted(self, host: "RemoteHost", fault: HostFault) -> dict[tuple[str, str], int]:
        said = host.cutting.run("counted", fault.id)
        rows = (line.split("\t") for line in said.splitlines() if line.count("\t") == 2)
        return {(way, address): int(packets) for way, address, packets in rows}

    def _packets(self, counted: Mapping[tuple[str, str], int], way: str, other: str) -> int:
        return sum(counted.get((way, address), 0) for address in self._hosts[other].addresses)


def _heal_each(hosts: "Mapping[str, RemoteHost]", made: Sequence[tuple[str, HostFault]]) -> None:
    """Heal every fault, on the host where it is; then one of the errors is raised, see `raise_one_of`."""
    errors = list[Exception]()
    for name, fault in made:
        try:
            hosts[name].heal(fault)
        except Exception as error:
            errors.append(error)
    raise_one_of(errors)
