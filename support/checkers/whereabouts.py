"""Where rows are, among the nodes of a sharded cluster; node -> what was read on it."""

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence

from support.checkers.finding import Finding, listed

Held = Mapping[str, Sequence[Hashable]]
"""Node -> the rows that it holds itself."""


def on_several_nodes(held: Held) -> Finding:
    """More than one node holds some of them. Unknown when none holds any."""
    holding = {node: len(rows) for node, rows in held.items() if rows}
    words = ", ".join(f"{count} on {node}" for node, count in holding.items())
    if not holding:
        return Finding.unknown(f"no row is on any of {listed(list(held))}")
    if len(holding) == 1:
        return Finding.false(f"all rows are on one node: {words}")
    return Finding.true(words)


def together_they_are(expected: Collection[Hashable], held: Held) -> Finding:
    """What the nodes hold together is what is expected, each row on one of them and once. Unknown for nothing."""
    if not expected:
        return Finding.unknown("no row is expected anywhere")
    found = Counter(row for rows in held.values() for row in rows)
    return _difference(set(expected), found, "on the nodes together")


def each_holds(expected: Collection[Hashable], held: Held) -> Finding:
    """Every node holds all that is expected, each row once, and nothing else. Unknown for nothing, or no node."""
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
        f"{len(rows)} rows are {what} {where} ({listed(rows, most=3)})"
        for what, rows in (("missing", lacking), ("not as they should be", strange), ("there more than once", twice))
        if rows
    ]
    return Finding.false("; ".join(said)) if said else Finding.true(f"all {len(expected)} rows are {where}, once each")
