"""The dependency graph: which transaction must have come before which other one, and why.

- **ww**: its write was followed by the other's write to the same item.
- **wr**: its write was read by the other.
- **rw**: it read a version that the other's write followed, so it ran before the other (an anti-dependency).
- **rt**: it was acknowledged before the other began.

A cycle of these is an anomaly; which one, is in `cycles`.
"""

import enum
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from support.engine.history import Outcome
from support.isolation.transactions import Access, Item, Kind, Transaction
from support.isolation.versions import Versions


class Dependency(enum.StrEnum):
    """Why one transaction came before another."""

    WW = "ww"
    WR = "wr"
    RW = "rw"
    RT = "rt"


@dataclass(frozen=True)
class Edge:
    """`earlier` must have come before `later`."""

    earlier: Transaction
    later: Transaction
    dependency: Dependency
    item: Item | None = None
    """What both used; None for the order of time."""
    value: int = 0
    """For ww and rw the value that the later transaction wrote, for wr the one that the earlier wrote."""

    def __str__(self) -> str:
        before, after = self.earlier.name, self.later.name
        called = f"{self.item[0]} {self.item[1]}" if self.item else ""
        match self.dependency:
            case Dependency.WW:
                return f"{after} wrote {self.value} to {called}, on top of {before}'s"
            case Dependency.WR:
                return f"{after} read {before}'s {self.value} in {called}"
            case Dependency.RW:
                return f"{before} read {called} without {after}'s {self.value}"
            case Dependency.RT:
                return f"{before} was acknowledged before {after} began"


class DependencyGraph:
    """The dependencies between the transactions that happened, but those numbered in `without`; the nodes are their
    numbers."""

    def __init__(self, versions: Versions, without: Collection[int] = ()) -> None:
        happened = versions.committed - frozenset(without)
        self.transactions = {one.number: one for one in versions.transactions if one.number in happened}
        self._edges: dict[tuple[int, int], dict[Dependency, Edge]] = {}
        self._on: dict[Item, list[Edge]] = defaultdict(list)
        for edge in (*_of_writes(versions), *_of_reads(versions), *_of_time(tuple(self.transactions.values()))):
            if edge.earlier is not edge.later and {edge.earlier.number, edge.later.number} <= happened:
                known = self._edges.setdefault((edge.earlier.number, edge.later.number), {})
                known.setdefault(edge.dependency, edge)
                if edge.item is not None:
                    self._on[edge.item].append(edge)

    def edges(self, *dependencies: Dependency) -> Iterator[Edge]:
        """All edges of these kinds."""
        for known in self._edges.values():
            yield from (edge for kind, edge in known.items() if kind in dependencies)

    def of_each_item(self) -> Iterator[Sequence[Edge]]:
        """For each item all edges about it. Of those between the same two transactions about several items, `edges`
        has one of each kind."""
        yield from self._on.values()

    def of(self, *dependencies: Dependency) -> Any:
        """The graph with the edges of these kinds only."""
        import networkx as nx  # here: it takes half a second

        graph: Any = nx.DiGraph()
        graph.add_edges_from((edge.earlier.number, edge.later.number) for edge in self.edges(*dependencies))
        return graph

    def edge(self, earlier: int, later: int, preferred: Sequence[Dependency]) -> Edge:
        """The edge between two transactions, of the first of these kinds that there is. Raises LookupError if none."""
        known = self._edges[earlier, later]
        return next(known[kind] for kind in preferred if kind in known)


def _of_writes(versions: Versions) -> Iterator[Edge]:
    """ww: a version, and the one that followed it."""
    for (item, value), writer in versions.writers.items():
        if item[0] is Kind.SET or writer.number not in versions.committed:
            continue
        for after in versions.after(item, value):
            if (later := versions.writer(item, after)) is not None:
                yield Edge(writer, later, Dependency.WW, item, after)


def _of_reads(versions: Versions) -> Iterator[Edge]:
    for reader, read in versions.all_reads:
        if read.kind is Kind.SET:
            yield from _of_set(versions, reader, read)
        elif read.kind is Kind.REGISTER or versions.agrees(read):
            yield from _of_version(versions, reader, read)


def _of_version(versions: Versions, reader: Transaction, read: Access) -> Iterator[Edge]:
    """wr from the writer of the version that was read, rw to the writers of the one that followed it."""
    saw = versions.before_own(reader, read) if read.kind is Kind.LIST else (read.saw or ())
    last = saw[-1] if saw else 0
    if writer := versions.writer(read.item, last):
        yield Edge(writer, reader, Dependency.WR, read.item, last)
    for after in versions.after(read.item, last):
        if later := versions.writer(read.item, after):
            yield Edge(reader, later, Dependency.RW, read.item, after)


def _of_set(versions: Versions, reader: Transaction, read: Access) -> Iterator[Edge]:
    """wr from everybody whose member was seen, rw to everybody whose member was missed and is known to be there."""
    saw = set(read.saw or ())
    for value in saw:
        if writer := versions.writer(read.item, value):
            yield Edge(writer, reader, Dependency.WR, read.item, value)
    for value in versions.seen[read.item] - saw:
        if writer := versions.writer(read.item, value):
            yield Edge(reader, writer, Dependency.RW, read.item, value)


def _of_time(transactions: Sequence[Transaction]) -> Iterator[Edge]:
    """rt from the end of each acknowledged transaction to the beginning of later ones.

    Only the edges from which all others follow: nothing is drawn from one that ended before another that has itself
    ended. A transaction of unknown outcome has no end: it may have happened at any later time.
    """
    begins = [(one.begun, 1, one) for one in transactions]
    ends = [(one.ended, 0, one) for one in transactions if one.outcome is Outcome.OK]
    frontier: dict[int, Transaction] = {}
    for _, begins_now, one in sorted([*begins, *ends], key=lambda event: event[:2]):
        if begins_now:
            for earlier in frontier.values():
                yield Edge(earlier, one, Dependency.RT)
        else:
            frontier = {number: other for number, other in frontier.items() if other.ended >= one.begun}
            frontier[one.number] = one
