"""The application's entries: what it keeps, and how it stores, finds and changes them.

How many rows a table has, by each way that the planner can count them: in one snapshot all must agree.

An index that leaves rows out, or that the planner takes for a cheap way to see all rows and is none, makes a count
wrong that names no column of it: seen of RuVector 0.3.0, whose HNSW index let 50,000 rows count as none.

Which sessions see an entry.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from psycopg2.extras import Json, execute_values

from support import sql
from support.errors import Inconclusive
from support.example_app.profile import Profile, quoted
from support.example_app.vectors import VectorDialect

_OPTIONAL = ("embedding", "metadata")
"""The columns that the application's table may do without."""
_PAGE = 200  # rows a statement when many are stored


@dataclass(frozen=True)
class Entry:
    """One entry. The components of its embedding are float4 values, so that they come back as they went."""

    namespace: str
    key: str
    value: str
    embedding: tuple[float, ...] | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict)


class EntryStore:
    """Entries over one open session, or each operation over a session of its own when given an endpoint.

    They are in the table that the profile names. Transactions are the session's business: the store neither commits
    nor rolls back.
    """

    def __init__(self, where: sql.Endpoint | sql.Session, profile: Profile) -> None:
        self._where, self._profile = where, profile
        self._columns = [name for name in _OPTIONAL if getattr(profile.entries, name)]
        self._select = profile.sql(
            f"SELECT {', '.join(f'{{entries.{name}}}' for name in self._names)} "
            "FROM {entries} WHERE {entries.namespace} = %s"
        )

    def add(self, entry: Entry) -> None:
        """Store a new entry. Raises sql.Error when its key is taken or a value is refused."""
        sql.execute(self._where, f"{self._insert} VALUES {self._template}", self._row(entry))

    def add_many(self, entries: Sequence[Entry]) -> None:
        """Store new entries, all in one transaction."""
        if isinstance(self._where, sql.Endpoint):
            with sql.session(self._where, autocommit=False) as session:
                EntryStore(session, self._profile).add_many(entries)
                session.commit()
            return
        with self._where.cursor() as cursor:
            rows = map(self._row, entries)
            execute_values(cursor, f"{self._insert} VALUES %s", rows, template=self._template, page_size=_PAGE)

    def find(self, namespace: str, key: str) -> list[Entry]:
        """What is stored under a key: one entry or none, unless the database breaks its word."""
        by_key = self._profile.sql("{entries.key} = %s")
        return [self._entry(row) for row in sql.rows(self._where, f"{self._select} AND {by_key}", [namespace, key])]

    def find_each(self, namespace: str, keys: Iterable[str]) -> list[Entry]:
        """What is stored under each of some keys."""
        return [found for key in keys for found in self.find(namespace, key)]

    def all(self, namespace: str) -> list[Entry]:
        """Every entry of a namespace, by key."""
        in_order = self._profile.sql("ORDER BY {entries.key}")
        return [self._entry(row) for row in sql.rows(self._where, f"{self._select} {in_order}", [namespace])]

    def update(self, namespace: str, key: str, value: str) -> int:
        """Give an entry another value; returns how many entries were changed."""
        statement = "UPDATE {entries} SET {entries.value} = %s WHERE {entries.namespace} = %s AND {entries.key} = %s"
        return sql.execute(self._where, self._profile.sql(statement), [value, namespace, key])

    def update_each(self, namespace: str, keys: Iterable[str], value: str) -> int:
        """Give the same value to the entries under some keys; returns how many were changed."""
        return sum(self.update(namespace, key, value) for key in keys)

    def delete(self, namespace: str, key: str) -> int:
        """Remove an entry; returns how many were removed."""
        statement = "DELETE FROM {entries} WHERE {entries.namespace} = %s AND {entries.key} = %s"
        return sql.execute(self._where, self._profile.sql(statement), [namespace, key])

    def delete_each(self, namespace: str, keys: Iterable[str]) -> int:
        """Remove the entries under some keys; returns how many were removed."""
        return sum(self.delete(namespace, key) for key in keys)

    @property
    def _names(self) -> list[str]:
        return ["namespace", "key", "value", *self._columns]

    @property
    def _insert(self) -> str:
        names = ", ".join(f"{{entries.{name}}}" for name in self._names)
        return self._profile.sql(f"INSERT INTO {{entries}} ({names}{{entries.also}})")

    @property
    def _template(self) -> str:
        places = ", ".join(["%s"] * len(self._names))
        return self._profile.sql(f"({places}{{entries.filling}})")

    def _row(self, entry: Entry) -> list[Any]:
        vector = None if entry.embedding is None else VectorDialect.literal(entry.embedding)
        optional = {"embedding": vector, "metadata": Json(entry.metadata)}
        return [entry.namespace, entry.key, entry.value, *(optional[name] for name in self._columns)]

    def _entry(self, row: sql.Row) -> Entry:
        found = dict(zip(self._names, row, strict=True))
        vector = found.get("embedding")
        return Entry(
            found["namespace"],
            found["key"],
            found["value"],
            None if vector is None else VectorDialect.parsed(vector),
            found.get("metadata") or {},
        )


def contents(entries: Iterable[Entry]) -> dict[str, object]:
    """Every column of every entry by its name, to be compared with others; a key that comes twice is there twice."""
    found: dict[str, object] = {}
    times: Counter[str] = Counter()
    for entry in entries:
        times[entry.key] += 1
        name = entry.key if times[entry.key] == 1 else f"{entry.key} ({times[entry.key]})"
        found |= {f"{name}'s {column}": value for column, value in asdict(entry).items()}
    return found


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


def write_uncommitted(session: sql.Session, profile: Profile, entry: Entry) -> None:
    """Write an entry and leave its transaction open. Raises Inconclusive unless the session itself sees it."""
    store = EntryStore(session, profile)
    store.add(entry)
    if store.find(entry.namespace, entry.key) != [entry]:
        raise Inconclusive("the session that wrote the entry does not see it")


def sightings(endpoint: sql.Endpoint, profile: Profile, entry: Entry, sessions: int) -> tuple[Entry, ...]:
    """What so many new sessions find under the entry's key, one after another."""
    store = EntryStore(endpoint, profile)
    return tuple(found for _ in range(sessions) for found in store.find(entry.namespace, entry.key))
