"""Whether transactions were isolated as their level promises.

Nothing here knows the database: the anomalies follow from what clients wrote and read. A transaction of unknown outcome
may have happened or not, and one that failed must not have.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from support.engine.finding import Finding
from support.engine.history import Outcome
from support.isolation.cycles import cycles
from support.isolation.dependencies import DependencyGraph
from support.isolation.levels import NEEDS_ONE_SNAPSHOT, RULED_OUT, Anomaly, Level
from support.isolation.transactions import FINAL_READER, Item, Kind, Transaction, overlapping
from support.isolation.versions import Sighting, Versions, sightings

LEAST_OVERLAPPING = 50
"""Pairs of transactions that ran at the same time on the same item: with fewer, nothing is judged."""
_SHOWN = 3
"""Transactions of an example that are shown in full."""


def anomalies(
    transactions: Sequence[Transaction], wanted: Collection[Anomaly] = tuple(Anomaly)
) -> tuple[Sighting, ...]:
    """The anomalies of the `wanted` kinds that the transactions show; of each kind some, where there are many."""
    versions = Versions(transactions)
    found = (*sightings(versions), *cycles(DependencyGraph(versions), wanted))
    return tuple(one for one in found if one.anomaly in wanted)


_Shown = tuple[Anomaly, frozenset[int]]


def _shown(one: Sighting) -> _Shown:
    """What tells one sighting from another: the anomaly, and the transactions that show it."""
    return one.anomaly, frozenset(each.number for each in one.transactions)


def _used_a_set(one: Transaction) -> bool:
    return any(each.kind is Kind.SET for each in one.accesses)


@dataclass(frozen=True)
class Observed:
    """What a history of transactions shows. `homes` is item -> the Citus groups that hold it, where there are any."""

    level: Level
    transactions: tuple[Transaction, ...]
    homes: Mapping[Item, Collection[int]]
    one_snapshot: bool = True
    """Whether all servers together are expected to give a transaction one snapshot."""

    @cached_property
    def _sightings(self) -> tuple[Sighting, ...]:
        return anomalies(self.transactions, RULED_OUT[self.level])

    @cached_property
    def _of_one_server(self) -> Mapping[_Shown, Sighting]:
        """What each server by itself shows, where all of them together have no snapshot. A chain of dependencies that
        leads over several servers, and is excused, may be shorter, and hide one that stays on one of them.

        Whoever used a set is left out (see `_excuses`).
        """
        if self.one_snapshot:
            return {}
        wanted = NEEDS_ONE_SNAPSHOT & frozenset(RULED_OUT[self.level])
        with_set = {one.number for one in self.transactions if _used_a_set(one)}
        found = dict[_Shown, Sighting]()
        for server in sorted({group for groups in self.homes.values() for group in groups}):
            graph = DependencyGraph(Versions(self._part_on(server)), without=with_set)
            found |= {_shown(one): one for one in cycles(graph, wanted) if one.anomaly in wanted}
        return found

    def _part_on(self, server: int) -> tuple[Transaction, ...]:
        """What the transactions did with the items that are on that server alone."""
        there = {item for item, groups in self.homes.items() if set(groups) == {server}}
        return tuple(
            replace(one, accesses=tuple(each for each in one.accesses if each.item in there))
            for one in self.transactions
        )

    @cached_property
    def excused(self) -> tuple[Sighting, ...]:
        """The anomalies that only a snapshot over several servers would rule out, where none is expected."""
        return tuple(one for one in self._sightings if self._excuses(one) and _shown(one) not in self._of_one_server)

    @cached_property
    def violations(self) -> tuple[Sighting, ...]:
        """The anomalies that the level rules out, and nothing excuses."""
        found = {_shown(one): one for one in self._sightings if not self._excuses(one)}
        return tuple((found | {key: one for key, one in self._of_one_server.items() if key not in found}).values())

    def _excuses(self, sighting: Sighting) -> bool:
        """Several servers have several snapshots. A single one may have several, too, if a transaction used a set:
        Citus may send a query over several shards through several connections to the same worker, each with its own.
        Seen with Citus 13.2; see citus.max_adaptive_executor_pool_size.
        """
        if self.one_snapshot or sighting.anomaly not in NEEDS_ONE_SNAPSHOT:
            return False
        servers = {group for item in sighting.items for group in self.homes.get(item, ())}
        return len(servers) > 1 or (bool(servers) and any(map(_used_a_set, sighting.transactions)))

    @property
    def committed(self) -> int:
        """How many transactions were acknowledged."""
        return sum(one.outcome is Outcome.OK and one.client != FINAL_READER for one in self.transactions)

    @property
    def counted(self) -> str:
        """How many transactions there were, in words."""
        outcomes = Counter(one.outcome for one in self.transactions)
        return (
            f"{self.committed:,} committed transactions at {self.level} ({outcomes[Outcome.FAIL]:,} failed, "
            f"{outcomes[Outcome.UNKNOWN]:,} of unknown outcome)"
        )


def isolated(observed: Observed) -> Finding:
    """The transactions show no anomaly that their level rules out.

    Unknown if they hardly ran at the same time, or if not everything was read at the end.
    """
    if observed.violations:
        return Finding.false(f"{_listed(observed.violations)}; in {observed.counted}, which rules that out")
    final = any(one.client == FINAL_READER and one.outcome is Outcome.OK for one in observed.transactions)
    if not final:
        return Finding.unknown(f"nothing was read when all clients had ended: {observed.counted}")
    if (pairs := overlapping(observed.transactions)) < LEAST_OVERLAPPING:
        return Finding.unknown(
            f"only {pairs} pairs of transactions used the same item at the same time: {observed.counted}"
        )
    return Finding.true(f"no anomaly in {observed.counted}; {pairs:,} pairs used the same item at the same time")


def limit_of_snapshots(observed: Observed) -> str:
    """What was seen of the known limit that no snapshot spans all servers; empty where nothing was."""
    if not observed.excused:
        return ""
    return f"{_counts(observed.excused)} in {observed.counted}; for example, {observed.excused[0].words}"


def _listed(seen: Sequence[Sighting]) -> str:
    """What was seen how often, and the example with the fewest transactions of the kind named first."""
    first = min((one for one in seen if one.anomaly is seen[0].anomaly), key=lambda one: len(one.transactions))
    return f"{_counts(seen)}. {_example(first)}"


def _counts(seen: Sequence[Sighting]) -> str:
    counted = Counter(one.anomaly for one in seen)
    return ", ".join(f"{anomaly}: {times} seen" for anomaly, times in counted.items())


def _example(one: Sighting) -> str:
    shown = one.transactions[:_SHOWN]
    more = len(one.transactions) - len(shown)
    told = ". ".join(map(str, shown))
    return f"An example of {one.anomaly}: {one.words}. {told}{f'. And {more} more transactions' if more else ''}"
