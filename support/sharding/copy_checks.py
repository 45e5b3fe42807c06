"""Checks of the copies of reference tables: they hold the same rows on every node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from support.engine.finding import Finding, listed

ENOUGH = 3
"""A difference counts if it has been the same in this many readings: changes in progress do not last that long."""
Group = tuple[int, str]
"""The number of rows in a group, and a digest of all of them."""


@dataclass(frozen=True)
class Copy:
    """One copy of a table, divided into groups of rows; a group without rows is left out."""

    groups: Mapping[int, Group]

    @property
    def rows(self) -> int:
        return sum(count for count, _ in self.groups.values())


@dataclass(frozen=True)
class Reading:
    """All copies at about one moment."""

    copies: Mapping[str, Mapping[str, Copy]]
    """Table -> node -> its copy."""
    silent: Mapping[str, str] = field(default_factory=dict)
    """A node, or a table on a node, that could not be read -> why."""
    in_doubt: int = 0
    """Transactions prepared on a node whose outcome it has not learnt: until then, others may already show it."""
    missing: frozenset[tuple[str, str]] = frozenset()
    """Table and node: Citus lists a copy there, and the node has none. They are among the silent ones, too."""

    def different(self, table: str) -> frozenset[int]:
        """The groups of a table that are not the same on all nodes."""
        copies = list(self.copies.get(table, {}).values())
        groups = {group for copy in copies for group in copy.groups}
        return frozenset(group for group in groups if len({copy.groups.get(group) for copy in copies}) > 1)


def is_settled(readings: Sequence[Reading]) -> bool:
    """Whether further readings would not tell more."""
    return copies_agree(readings).holds is not None


def copies_agree(readings: Sequence[Reading]) -> Finding:
    """All copies of every table held the same rows; readings are in the order in which they were made.

    Rows that were the same in the last readings, and differ between the nodes, are a difference. Rows that change may
    be read on one node before and on another after a change, so they are none. A copy that was missing in the last
    readings is a difference, too. Unknown if a copy could not be read, if a transaction is in doubt, or if no reading
    found a table's copies equal and no rows stayed different.
    """
    if not readings or not readings[-1].copies:
        return Finding.unknown("there is no reference table that the application may read")
    last = readings[-1]
    missing = _missing(readings[-ENOUGH:])
    wrong, open_ones = [*missing], []
    for table in last.copies:
        if stable := _stable(readings[-ENOUGH:], table):
            wrong.append(_words(last, table, stable))
        elif all(one.different(table) for one in readings):
            open_ones.append(table)
    if wrong and not last.in_doubt:
        rows_only = "" if missing else ", or delete the rows and insert them again through the coordinator"
        return Finding.false(
            f"{listed(wrong)} (recreate the copies: undistribute_table and create_reference_table{rows_only})"
        )
    if last.in_doubt and (wrong or open_ones):
        return Finding.unknown(f"{last.in_doubt} transactions are in doubt: until they are resolved, copies may differ")
    if last.silent:
        return Finding.unknown(f"not read: {listed([f'{what}: {why}' for what, why in last.silent.items()])}")
    if alone := [table for table, copies in last.copies.items() if len(copies) < 2]:
        return Finding.unknown(f"only one node has a copy of {listed(alone)}")
    if open_ones:
        return Finding.unknown(f"{listed(open_ones)}: different at each of {len(readings)} readings, and being written")
    rows = sum(max(copy.rows for copy in copies.values()) for copies in last.copies.values())
    return Finding.true(f"{len(last.copies)} reference tables with {rows} rows are the same on every node")


def _missing(readings: Sequence[Reading]) -> list[str]:
    """The copies that were missing in each of the readings: one that is being made, or dropped, is so only briefly."""
    if len(readings) < ENOUGH:
        return []
    always = frozenset.intersection(*(one.missing for one in readings))
    return [f"{node} has no copy of {table}, although Citus lists one there" for table, node in sorted(always)]


def _stable(readings: Sequence[Reading], table: str) -> frozenset[int]:
    """The groups that were different in each of the readings, and the same on each node all the time."""
    if len(readings) < ENOUGH:
        return frozenset()
    shared = frozenset.intersection(*(one.different(table) for one in readings))
    return frozenset(
        group
        for group in shared
        if all(
            len({one.copies[table][node].groups.get(group) for one in readings if node in one.copies[table]}) == 1
            for node in readings[-1].copies[table]
        )
    )


def _words(last: Reading, table: str, groups: frozenset[int]) -> str:
    counts = ", ".join(f"{copy.rows} on {node}" for node, copy in last.copies[table].items())
    return f"the copies of {table} differ in {len(groups)} or more rows (rows: {counts})"
