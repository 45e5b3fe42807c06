"""What must hold of where shards and rows are.

Shards are spread evenly, each is on exactly one live node, and co-located shards are on the same node. Rows are in the
shard that they hash to; the nodes together, or each of them, hold what was stored.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

from support.engine.finding import Finding, listed
from support.example_app.profile import relation
from support.vocabulary import counted

NOWHERE = "no node"
"""In place of a node, for a shard without a placement."""


@dataclass(frozen=True)
class Placement:
    """One row of pg_dist_placement, with the facts about its shard."""

    table: str
    shard: int
    node: str
    """"worker group 1", "the coordinator"."""
    lowest: int = 0
    highest: int = 0
    """The range of hashes of the distribution column whose rows it holds."""
    colocation: int = 0
    """Citus' co-location group: shards of its tables with the same range of hashes belong on the same node."""
    active: bool = True
    called: str = ""
    """The name of the shard, if it is not the table's name and the shard's number: Citus shortens long names."""

    @property
    def name(self) -> str:
        """The name of the shard, which is a table of its node."""
        return self.called or f"{relation(self.table)}_{self.shard}"

    def __str__(self) -> str:
        return f"{self.name} on {self.node}"


def of_hash(placements: Iterable[Placement], table: str, hashed: int) -> list[Placement]:
    """The placements that hold the rows of a table whose distribution column has that hash."""
    return [one for one in placements if one.table == table and one.lowest <= hashed <= one.highest]


Held = Mapping[str, Collection[str]]
"""Node that answers -> the shards among its own tables."""


def evenly_spread(
    placements: Sequence[Placement],
    shards: int,
    nodes: Collection[str],
    share: float = 10,
    *,
    tables: Collection[str] = (),
) -> Finding:
    """Each table has this many shards, and each node has its share of them, to within `share` percent.

    `tables` are those that should be distributed: one without any shard is not. One shard more or less is not uneven,
    where shards cannot be divided more evenly. Unknown without two nodes or without a table.
    """
    if len(nodes) < 2 or not (placements or tables):
        return Finding.unknown(f"{len(placements)} placements, to be spread over {len(nodes)} nodes")
    wrong = _without_shards(tables, placements)
    for table, counts in _counts(placements).items():
        if counts.total() != shards:
            wrong.append(f"{table} has {counts.total()} shards instead of {shards}")
        mean = counts.total() / len(nodes)
        lowest, highest = min(floor(mean), mean * (1 - share / 100)), max(ceil(mean), mean * (1 + share / 100))
        if not counts.keys() <= set(nodes) or any(not lowest <= counts[node] <= highest for node in nodes):
            said = ", ".join(f"{counts[node]} on {node}" for node in sorted({*nodes, *counts}))
            wrong.append(f"the shards of {table} are spread unevenly: {said}")
    return _all_or(
        wrong, f"{shards} shards of each of {len(_counts(placements))} tables, evenly on {listed(sorted(nodes))}"
    )


def each_on_one_live_node(
    placements: Sequence[Placement],
    held: Held,
    *,
    tables: Collection[str] = (),
    to_be_removed: Collection[tuple[str, str]] = (),
) -> Finding:
    """Each shard has one active placement, on a node that answers and has the shard; no other node has it.

    `tables` are those that should be distributed: one without any shard is not. The nodes have no further shards of
    those tables. Unknown when there is no placement, and should be none; and when nothing is wrong but that a node has
    further shards that Citus is going to remove: those `to_be_removed`, each with its node in front.
    """
    if not (placements or tables):
        return Finding.unknown("there is no placement")
    times = Counter(one.name for one in placements)
    wrong = _without_shards(tables, placements)
    wrong += [f"{shard} has {count} placements" for shard, count in times.items() if count != 1]
    for one in placements:
        if one.node == NOWHERE:
            wrong.append(f"{one.name} has no placement")
        elif not one.active:
            wrong.append(f"{one} is not active")
        elif one.node not in held:
            wrong.append(f"{one}, which does not answer")
        elif one.name not in held[one.node]:
            wrong.append(f"{one} is not there")
    meant = {(one.node, one.name) for one in placements}
    strays = sorted((node, shard) for node, shards in held.items() for shard in shards if (node, shard) not in meant)
    unlisted = [stray for stray in strays if stray not in to_be_removed]
    wrong += [f"{shard} is on {node}, where it does not belong" for node, shard in unlisted]
    if strays and not wrong:
        left = listed([f"{shard} on {node}" for node, shard in strays])
        return Finding.unknown(f"shards are moving, or what moves left is not removed yet (pg_dist_cleanup): {left}")
    return _all_or(wrong, f"{len(placements)} shards, each on one of {listed(list(held))}")


def co_located_together(placements: Sequence[Placement]) -> Finding:
    """Co-located shards (same group, same range of hashes) are on the same node. Unknown when there are none."""
    co_located = defaultdict(list)
    for one in placements:
        co_located[one.colocation, one.lowest].append(one)
    if all(len(ones) == 1 for ones in co_located.values()):
        return Finding.unknown("no two shards are co-located")
    apart = [listed(ones) for ones in co_located.values() if len({one.node for one in ones}) > 1]
    return _all_or([f"not together: {ones}" for ones in apart], f"{len(co_located)} sets of co-located shards together")


def moved(before: Sequence[Placement], after: Sequence[Placement]) -> list[Placement]:
    """The placements of `after` that are on another node than before."""
    return [one for one in after if one.node not in {was.node for was in before if was.name == one.name}]


def as_before(before: Sequence[Placement], after: Sequence[Placement]) -> Finding:
    """Every shard is where it was. Unknown when there was none."""
    if not before:
        return Finding.unknown("there was no shard before")
    gone = sorted({one.name for one in before} - {one.name for one in after})
    wrong = [*map(str, moved(before, after)), *(f"{name} is nowhere" for name in gone)]
    return _all_or([f"moved: {one}" for one in wrong], f"{len(before)} shards are where they were")


def none_too_large(sizes: Mapping[int, int | None], times: float) -> Finding:
    """The size of each shard (number -> bytes) is known, and none is larger than this many times the mean.

    Unknown when there is no shard, or all are empty.
    """
    unknown = [shard for shard, size in sizes.items() if size is None]
    if unknown:
        return Finding.false(f"the sizes of {len(unknown)} of {len(sizes)} shards are not known: {listed(unknown)}")
    known = {shard: size for shard, size in sizes.items() if size}
    if not known:
        return Finding.unknown(f"all {len(sizes)} shards are empty")
    mean, largest = sum(known.values()) / len(sizes), max(known, key=lambda shard: known[shard])
    said = f"the largest of {len(sizes)} shards, {largest}, is {known[largest] / mean:.1f} times the mean"
    return Finding(known[largest] <= times * mean, f"{said} of {mean / 1024:.0f} kB (limit: {times:g} times)")


def each_where_it_hashes(
    expected: Mapping[str, Sequence[tuple[str, str]]], found: Mapping[str, Sequence[tuple[str, str]]]
) -> Finding:
    """The rows of each namespace are on the node and in the shard where they should be, and nowhere else.

    `expected` and `found` are namespace -> node and shard of each row. Unknown when all should be on a single node.
    """
    nodes = {node for places in expected.values() for node, _ in places}
    if len(nodes) < 2:
        return Finding.unknown(f"nothing was stored on more than one node: {listed(sorted(nodes))}")
    wrong = [
        f"{namespace} should be in {_places(places)}, and is in {_places(found.get(namespace, ()))}"
        for namespace, places in expected.items()
        if sorted(places) != sorted(found.get(namespace, ()))
    ]
    return _all_or(wrong, f"{len(expected)} namespaces, each in its shard, on {listed(sorted(nodes))}")


def joins_co_located(placements: Sequence[Placement], tasks: Sequence[Collection[str]]) -> Finding:
    """Each task reads two shards of the same range of hashes on one node; `tasks` has the shards that each reads.

    Unknown when there is no task.
    """
    if not tasks:
        return Finding.unknown("there is no task")
    by_name = {one.name: one for one in placements}
    wrong = []
    for shards in tasks:
        read = [by_name[shard] for shard in sorted(shards) if shard in by_name]
        if len(read) != 2 or len({(one.lowest, one.highest, one.node) for one in read}) != 1:
            wrong.append(f"one task reads {listed(read)}")
    nodes = sorted({by_name[shard].node for shards in tasks for shard in shards if shard in by_name})
    return _all_or(wrong, f"{len(tasks)} tasks, each joins two co-located shards, on {listed(nodes)}")


Indexes = Mapping[str, Mapping[str, bool]]
"""Table, or shard -> what its indexes promise -> whether one that promises it is valid."""


def each_has_the_indexes(
    placements: Sequence[Placement], meant: Indexes, found: Mapping[str, Indexes], in_progress: Collection[str] = ()
) -> Finding:
    """Every shard has the indexes of its table, valid there and by the coordinator.

    `meant` has those of the tables, `found` is node -> those of its shards. An index whose build failed is not valid,
    neither in the shard nor by the coordinator. Nor is one that is being built or dropped: those of the tables
    `in_progress` are left out. Unknown when no table has any, and when a node with a shard is not in `found`.
    """
    tables = sorted({one.table for one in placements})
    wanted = {
        table: [index for index, valid in meant.get(table, {}).items() if valid or table not in in_progress]
        for table in tables
    }
    if not any(wanted.values()):
        return Finding.unknown("no shard should have an index")
    wrong = [
        f"an index of {table} is not valid: {index}"
        for table in tables
        for index in wanted[table]
        if not meant[table][index]
    ]
    for one in placements:
        if one.node in found:
            there = found[one.node].get(one.name, {})
            lacking = sorted(index for index in wanted[one.table] if not there.get(index))
            wrong += [f"{one} lacks {listed(lacking)}"] if lacking else []
    if wrong:
        return _all_or(wrong, "")
    if silent := sorted({one.node for one in placements} - found.keys()):
        return Finding.unknown(f"the shards of {listed(silent)} were not read")
    return Finding.true(f"{len(placements)} shards of {len(tables)} tables have the indexes of their tables")


def none_is_unlogged(placements: Sequence[Placement], unlogged: Mapping[str, Collection[str]]) -> Finding:
    """No shard is unlogged on the node where it is; `unlogged` is node -> the shards that are.

    Unknown without a shard, and when a node with a shard is not in `unlogged`.
    """
    if not placements:
        return Finding.unknown("there is no placement")
    if wrong := [f"{one} is unlogged" for one in placements if one.name in unlogged.get(one.node, ())]:
        return _all_or(wrong, "")
    if silent := sorted({one.node for one in placements} - unlogged.keys()):
        return Finding.unknown(f"the shards of {listed(silent)} were not read")
    tables = {one.table for one in placements}
    return Finding.true(f"none of {len(placements)} shards of {len(tables)} tables is unlogged")


def _places(places: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{shard} on {node}" for node, shard in places) or "no shard"


def _without_shards(tables: Collection[str], placements: Iterable[Placement]) -> list[str]:
    """A table of which Citus knows no shard is on one server only, like any other table."""
    return [f"{table} is not distributed" for table in sorted({*tables} - {one.table for one in placements})]


def _counts(placements: Sequence[Placement]) -> dict[str, Counter[str]]:
    """Table -> node -> how many of its shards it has."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in placements:
        counts[one.table][one.node] += 1
    return counts


def _all_or(wrong: Sequence[str], right: str) -> Finding:
    return Finding.false(f"{counted(len(wrong), 'finding')}: {listed(wrong)}") if wrong else Finding.true(right)


RowsHeld = Mapping[str, Sequence[Hashable]]
"""Node -> the rows in its own shards."""


def on_several_nodes(held: RowsHeld) -> Finding:
    """More than one node holds rows. Unknown when none does."""
    holding = {node: len(rows) for node, rows in held.items() if rows}
    words = ", ".join(f"{count} on {node}" for node, count in holding.items())
    if not holding:
        return Finding.unknown(f"no row is on any of {listed(list(held))}")
    if len(holding) == 1:
        return Finding.false(f"all rows are on one node: {words}")
    return Finding.true(words)


def together_they_hold(expected: Collection[Hashable], held: RowsHeld) -> Finding:
    """The nodes together hold exactly the expected rows, each once. Unknown when none is expected."""
    if not expected:
        return Finding.unknown("no row is expected anywhere")
    found = Counter(row for rows in held.values() for row in rows)
    return _difference(set(expected), found, "on the nodes together")


def each_holds(expected: Collection[Hashable], held: RowsHeld) -> Finding:
    """Every node holds exactly the expected rows, each once. Unknown when none is expected, or without a node."""
    if not expected or not held:
        return Finding.unknown("no row is expected anywhere" if held else "no node was asked")
    findings = {node: _difference(set(expected), Counter(rows), f"on {node}") for node, rows in held.items()}
    wrong = [finding.words for finding in findings.values() if not finding.holds]
    if wrong:
        return Finding.false("; ".join(wrong))
    return Finding.true(f"all {len(expected)} rows are on each of {listed(list(held))}")


def _difference(expected: set[Hashable], found: Counter[Hashable], where: str) -> Finding:
    lacking, strange = sorted(map(repr, expected - found.keys())), sorted(map(repr, found.keys() - expected))
    twice = sorted(repr(row) for row, times in found.items() if times > 1)
    said = [
        f"{counted(len(rows), 'row is', 'rows are')} {what} {where} ({listed(rows, most=3)})"
        for what, rows in (("missing", lacking), ("unexpected", strange), ("there more than once", twice))
        if rows
    ]
    return Finding.false("; ".join(said)) if said else Finding.true(f"all {len(expected)} rows are {where}, once each")
