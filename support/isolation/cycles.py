"""Cycles in the dependency graph, and the anomaly that each is.

The names go by the edges of the shortest cycle found: only writes over writes (G0); writes and reads of writes (G1c);
one anti-dependency (G-single, and lost update if all of it is about one item); several, of which no two follow one
another (G-nonadjacent, such as a long fork); several that do (G2, write skew). Where a cycle needs the order of time,
the name says "realtime".

Sources: A. Adya, Weak Consistency (MIT, 1999), definitions 4 to 18; K. Kingsbury and P. Alvaro, Elle (VLDB 2020),
section 6; A. Fekete et al., Making Snapshot Isolation Serializable (TODS 2005)
"""

import math
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from typing import Any

from support.engine.history import Outcome
from support.isolation.dependencies import Dependency, DependencyGraph, Edge
from support.isolation.levels import Anomaly
from support.isolation.transactions import Transaction
from support.isolation.versions import Sighting

WW, WR, RW, RT = Dependency.WW, Dependency.WR, Dependency.RW, Dependency.RT
MOST = 200
"""How many cycles of a kind are looked for in a history: where there is one, there may be thousands."""
_PREFERRED = (WW, WR, RW, RT)
_Closed = list[Edge]


def cycles(graph: DependencyGraph, wanted: Collection[Anomaly] = tuple(Anomaly)) -> Iterator[Sighting]:
    """Every kind of cyclic anomaly in the graph, MOST of a kind at most, each set of transactions once.

    Kinds that are not `wanted` are not looked for, but may be found on the way.
    """
    found: set[tuple[Anomaly, frozenset[int]]] = set()
    for cycle in _searched(graph, frozenset(wanted)):
        anomaly = named(cycle)
        key = (anomaly, frozenset(edge.earlier.number for edge in cycle))
        if key not in found:
            found.add(key)
            words = ", and ".join(map(str, cycle))
            items = frozenset(edge.item for edge in cycle if edge.item is not None)
            yield Sighting(anomaly, words, tuple(edge.earlier for edge in cycle), items)


def named(cycle: Iterable[Edge]) -> Anomaly:
    """The anomaly that a closed chain of dependencies is."""
    chain = list(cycle)
    kinds = [edge.dependency for edge in chain]
    timed, antis = RT in kinds, kinds.count(RW)
    if not antis:
        if WR in kinds:
            return Anomaly.REALTIME_INFORMATION if timed else Anomaly.CIRCULAR_INFORMATION
        return Anomaly.REALTIME_WRITES if timed else Anomaly.DIRTY_WRITE
    if antis == 1:
        if timed:
            return Anomaly.STALE_READ if len(chain) == 2 else Anomaly.REALTIME_SKEW
        alike = len({edge.item for edge in chain}) == 1 and WR not in kinds
        return Anomaly.LOST_UPDATE if alike else Anomaly.READ_SKEW
    adjacent = any(one is RW and other is RW for one, other in pairwise([*kinds, kinds[0]]))
    if adjacent:
        return Anomaly.WRITE_SKEW
    return Anomaly.REALTIME_FORK if timed else Anomaly.LONG_FORK


def _searched(graph: DependencyGraph, wanted: frozenset[Anomaly]) -> Iterator[_Closed]:
    """Closed chains of every wanted kind; those that need no order of time are looked for first."""
    skew, fork = {Anomaly.READ_SKEW, Anomaly.LOST_UPDATE}, {Anomaly.LONG_FORK}
    timed_skew, timed_fork = {Anomaly.REALTIME_SKEW}, {Anomaly.REALTIME_FORK}
    yield from _through(graph, WW, (WW,))
    yield from _through(graph, WR, (WW, WR))
    if Anomaly.LOST_UPDATE in wanted:
        yield from _lost_updates(graph)
    if skew & wanted:
        yield from _through(graph, RW, (WW, WR))
    if fork & wanted:
        yield from _alternating(graph, (WW, WR))
    if Anomaly.WRITE_SKEW in wanted:
        yield from _through(graph, RW, (WW, WR, RW))
    yield from _stale(graph)
    yield from _through(graph, WW, (WW, RT))
    yield from _through(graph, WR, (WW, WR, RT))
    if timed_skew & wanted:
        yield from _through(graph, RW, (WW, WR, RT))
    if timed_fork & wanted:
        yield from _alternating(graph, (WW, WR, RT))


def _lost_updates(graph: DependencyGraph) -> Iterator[_Closed]:
    """Lost updates, looked for on each item by itself.

    Two transactions may also have missed each other's writes to other items. A cycle over several items has another
    name, which may excuse it where they are on several servers.
    """
    import networkx as nx  # see _through

    found = 0
    for edges in graph.of_each_item():
        over = {_pair(one): one for one in edges if one.dependency is WW}
        missed = {_pair(one): one for one in edges if one.dependency is RW}
        versions, whole = nx.DiGraph(), nx.DiGraph()
        versions.add_edges_from(over)
        whole.add_edges_from((*over, *missed))
        component = _components(whole)
        for (reader, writer), edge in missed.items():
            if component.get(writer) != component.get(reader, -1):
                continue
            try:
                path = nx.shortest_path(versions, writer, reader)
            except nx.NetworkXException:  # there is none
                continue
            yield [edge, *(over[pair] for pair in pairwise(path))]
            found += 1
            if found == MOST:
                return


def _pair(edge: Edge) -> tuple[int, int]:
    return edge.earlier.number, edge.later.number


def _through(graph: DependencyGraph, first: Dependency, back: tuple[Dependency, ...]) -> Iterator[_Closed]:
    """The shortest way back over edges of the kinds `back`, for edges of the kind `first`."""
    import networkx as nx  # here: it takes half a second, which every start of the suite would spend

    ways_back = graph.of(*back)
    component = _components(graph.of(first, *back))
    found = 0
    for edge in graph.edges(first):
        start, end = edge.later.number, edge.earlier.number
        if component.get(start) != component.get(end, -1) or start not in ways_back or end not in ways_back:
            continue
        meanwhile = ways_back if first in back else _between(graph, ways_back, edge)
        try:
            path = nx.shortest_path(meanwhile, start, end)
        except nx.NetworkXException:  # there is none
            continue
        yield [edge, *(graph.edge(one, other, _of(back)) for one, other in pairwise(path))]
        found += 1
        if found == MOST:
            return


def _between(graph: DependencyGraph, ways_back: Any, edge: Edge) -> Any:
    """The part of a graph without anti-dependencies in which a way back from the later to the earlier can be.

    Whatever depends on a commit ends after it: so nothing is on the way that ended before the later one began, or began
    after the earlier one ended. A way that goes against the time is found by the order of time. Without this, each of
    thousands of searches that find nothing would go through the whole history.
    """
    import networkx as nx  # see _through

    since, until = edge.later.begun, _end(edge.earlier)
    known = graph.transactions
    return nx.subgraph_view(ways_back, filter_node=lambda one: known[one].begun <= until and _end(known[one]) >= since)


def _end(one: Transaction) -> float:
    """When a transaction was over; one of unknown outcome may commit at any later time."""
    return one.ended if one.outcome is Outcome.OK else math.inf


def _alternating(graph: DependencyGraph, between: tuple[Dependency, ...]) -> Iterator[_Closed]:
    """Chains with two anti-dependencies or more, of which no two follow one another.

    Searched in a graph whose nodes say how the transaction was reached: by an anti-dependency or not. After one, only
    another kind of edge can follow.
    """
    import networkx as nx  # see _through

    by_step: Any = nx.DiGraph()
    for edge in graph.edges(*between):
        for reached in (False, True):
            by_step.add_edge((edge.earlier.number, reached), (edge.later.number, False))
    for edge in graph.edges(RW):
        by_step.add_edge((edge.earlier.number, False), (edge.later.number, True))
    component = _components(by_step)
    found = 0
    for edge in graph.edges(RW):
        start, end = (edge.later.number, True), (edge.earlier.number, False)
        if component.get(start) != component.get(end, -1):
            continue
        path = nx.shortest_path(by_step, start, end)
        chain = [edge]
        for one, other in pairwise(path):
            chain.append(graph.edge(one[0], other[0], (RW,) if other[1] else _of(between)))
        yield chain
        found += 1
        if found == MOST:
            return


def _stale(graph: DependencyGraph) -> Iterator[_Closed]:
    """Transactions that missed what was acknowledged before they began."""
    found = 0
    for edge in graph.edges(RW):
        reader, writer = edge.earlier, edge.later
        if writer.outcome is Outcome.OK and writer.ended < reader.begun:
            yield [edge, Edge(writer, reader, RT)]
            found += 1
            if found == MOST:
                return


def _of(kinds: Iterable[Dependency]) -> tuple[Dependency, ...]:
    """The given kinds of dependency, the one that tells most first."""
    return tuple(kind for kind in _PREFERRED if kind in set(kinds))


def _components(graph: Any) -> dict[object, int]:
    """Node -> its strongly connected component; nodes that are on no cycle are left out."""
    import networkx as nx  # see _through

    parts = (part for part in nx.strongly_connected_components(graph) if len(part) > 1)
    return {node: number for number, part in enumerate(parts) for node in part}
