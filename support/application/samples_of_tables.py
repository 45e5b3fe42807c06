"""Seeded rows for several tables that belong together, to be asked all kinds of questions about."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg2.extras import Json

from support import sql

Rows = Sequence[Mapping[str, Any]]

_KINDS = ("person", "place", "thing")
_INSERT = "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, %s)"


def related_rows(chance: random.Random, namespaces: Sequence[str], size: int) -> dict[str, Rows]:
    """Table -> rows, `size` of each kind; entries name patterns, edges lead from node to node, history is of patterns.

    Some names are of nothing, some values are missing, and many are the same: as in life.
    """

    def somewhere() -> str:
        return chance.choice(namespaces[: 1 + chance.randrange(len(namespaces))])

    def pattern() -> str:
        return f"pattern-{chance.randrange(size // 4)}"

    nodes = {(somewhere(), f"node-{chance.randrange(size)}"): chance.choice(_KINDS) for _ in range(size)}
    patterns = {(somewhere(), pattern()): chance.randrange(100) for _ in range(size)}
    history = {(chance.choice(namespaces), pattern(), chance.randrange(1, 9)) for _ in range(size)}
    return {
        "memory_entries": [
            {
                "namespace": somewhere(),
                "key": f"entry-{number}",
                "value": f"text {chance.randrange(9)}",
                "metadata": {"pattern": pattern()} if chance.random() < 0.8 else {},
                "tags": chance.sample(["a", "b", "c"], chance.randrange(4)),
                "version": chance.randrange(1, 30),
            }
            for number in range(size)
        ],
        "patterns": [
            {"namespace": namespace, "id": name, "name": f"name {used % 7}", "usage_count": used}
            for (namespace, name), used in patterns.items()
        ],
        "graph_nodes": [{"namespace": where, "id": name, "kind": kind} for (where, name), kind in nodes.items()],
        "graph_edges": [
            {"namespace": where, "source": one, "target": other, "kind": "knows", "weight": chance.randrange(10)}
            for where, one in nodes
            for other in sorted(name for place, name in nodes if place == where)[:2]
        ],
        "pattern_history": [
            {"namespace": where, "pattern_id": name, "version": version, "change": {}}
            for where, name, version in sorted(history)
        ],
    }


def store_rows(where: sql.Endpoint, rows: Mapping[str, Rows]) -> None:
    """Store them, one statement for each table."""
    with sql.session(where) as session:
        for table, of_table in rows.items():
            statement = _INSERT.format(table=table, columns=", ".join(of_table[0]))
            sql.execute(session, statement, [Json(of_table)])
