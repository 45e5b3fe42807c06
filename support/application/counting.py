"""How many rows a table has, by each way that the planner can count them: in one snapshot all must agree.

An index that leaves rows out, or that the planner takes for a cheap way to see all rows and is none, makes a count
wrong that names no column of it: seen of RuVector 0.3.0, whose HNSW index let 50,000 rows count as none.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from support import sql
from support.application.profile import quoted

LARGEST = 100_000
"""Pages (8 kB each) of the largest table that is counted as a whole."""
_PAGES = "SELECT pg_relation_size(to_regclass(%s)) / 8192"
_WAYS: Mapping[str, tuple[str, ...]] = {
    "as the planner likes": (),
    "through the table itself": ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"),
    "through an index": ("enable_seqscan",),
}
"""The way -> what is switched off so that the planner takes it."""


@dataclass(frozen=True)
class Count:
    """What one way of counting came to."""

    rows: int | None
    """None where the table is too large to be counted."""
    plan: str


def counts(where: sql.Endpoint, table: str) -> dict[str, Count]:
    """Way -> how many rows there are by it, and its plan, all in one snapshot."""
    with sql.session(where, autocommit=False) as session:
        session.set_session(isolation_level="REPEATABLE READ", readonly=True)
        large = (sql.value(session, _PAGES, [quoted(table)]) or 0) > LARGEST
        return {way: _count(session, table, switched_off, large) for way, switched_off in _WAYS.items()}


def all_see_all(found: Mapping[str, Count], vector_indexes: Collection[str]) -> list[str]:
    """What is wrong with the counts: they differ, or one goes by an index that has no entry for each row."""
    numbers = {way: one.rows for way, one in found.items()}
    wrong = [f"different counts of the same rows: {numbers}"] if len(set(numbers.values())) > 1 else []
    return wrong + [
        f"{way} the count goes by {index}, which need not have an entry for each row"
        for way, one in found.items()
        for index in vector_indexes
        if re.search(rf"\b{re.escape(index)}\b", one.plan)
    ]


def _count(session: sql.Session, table: str, switched_off: tuple[str, ...], large: bool) -> Count:
    for name in switched_off:
        sql.execute(session, f"SET LOCAL {name} = off")
    statement = f"SELECT count(*) FROM {quoted(table)}"
    plan = "\n".join(line for (line,) in sql.rows(session, f"EXPLAIN (COSTS off) {statement}"))
    counted = None if large else int(sql.value(session, statement))
    for name in switched_off:
        sql.execute(session, f"SET LOCAL {name} = on")
    return Count(counted, plan)
