"""Seeded rows for several tables that belong together, to be asked all kinds of questions about."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg2.extras import Json, execute_values

from support import sql
from support.application.profile import Profile, columns_of

Rows = Sequence[Mapping[str, Any]]

_KINDS = ("person", "place", "thing")
_PLACES = {
    "entries": ("namespace", "key", "value", "metadata"),
    "related": ("namespace", "name", "number"),
    "nodes": ("namespace", "name", "kind"),
    "edges": ("namespace", "source", "target", "kind", "weight"),
    "reference": ("namespace", "key", "number", "note"),
}
"""Part -> the fields that a row of it has."""


def related_rows(chance: random.Random, mark: str, namespaces: Sequence[str], size: int) -> dict[str, Rows]:
    """Part -> rows, `size` of each kind; entries name patterns, edges lead from node to node.

    Names of patterns begin with `mark`, by which rows of a reference table are recognised. Some names are of nothing,
    some values are missing, and many are the same: as in life.
    """

    def somewhere() -> str:
        return chance.choice(namespaces[: 1 + chance.randrange(len(namespaces))])

    def pattern() -> str:
        return f"{mark}/pattern-{chance.randrange(size // 4)}"

    nodes = {(somewhere(), f"node-{chance.randrange(size)}"): chance.choice(_KINDS) for _ in range(size)}
    patterns = {(somewhere(), pattern()): chance.randrange(100) for _ in range(size)}
    references = {pattern(): chance.randrange(1, 9) for _ in range(size)}
    return {
        "entries": [
            {
                "namespace": somewhere(),
                "key": f"entry-{number}",
                "value": f"text {chance.randrange(9)}",
                "metadata": Json(
                    {"number": chance.randrange(1, 30)} | ({"pattern": pattern()} if chance.random() < 0.8 else {})
                ),
            }
            for number in range(size)
        ],
        "related": [
            {"namespace": namespace, "name": name, "number": used} for (namespace, name), used in patterns.items()
        ],
        "nodes": [{"namespace": where, "name": name, "kind": kind} for (where, name), kind in nodes.items()],
        "edges": [
            {"namespace": where, "source": one, "target": other, "kind": "knows", "weight": chance.randrange(10)}
            for where, one in nodes
            for other in sorted(name for place, name in nodes if place == where)[:2]
        ],
        "reference": [
            {"namespace": mark, "key": name, "number": number, "note": f"note {number % 3}"}
            for name, number in sorted(references.items())
        ],
    }


def store_rows(where: sql.Endpoint, profile: Profile, rows: Mapping[str, Rows]) -> None:
    """Store them in the tables that play those parts, one statement for each table."""
    parts = dict(profile.parts())
    with sql.session(where) as session, session.cursor() as cursor:
        for name, of_part in rows.items():
            named = columns_of(parts[name])
            fields = [field for field in _PLACES[name] if field in named]
            columns = ", ".join(f"{{{name}.{field}}}" for field in fields)
            insert = profile.sql(f"INSERT INTO {{{name}}} ({columns}{{{name}.also}}) VALUES ")
            template = profile.sql(f"({', '.join(['%s'] * len(fields))}{{{name}.filling}})")
            values = [[row[field] for field in fields] for row in of_part]
            execute_values(cursor, f"{insert}%s", values, template=template, page_size=len(values))
