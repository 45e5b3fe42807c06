"""The application's entries: how it stores, finds, changes and counts them."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import psycopg2.errors
from psycopg2.extras import Json, execute_values

from support import sql
from support.errors import Inconclusive
from support.example_app.catalog import VECTOR_METHODS
from support.example_app.index_names import in_plan, is_one_of
from support.example_app.profile import Profile, quoted
from support.example_app.vectors import VectorDialect
from support.timeouts import STATEMENT

INSERT_ENTRY = (
    "INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also}) "
    "VALUES (%s, %s, %s{entries.filling})"
)
"""For `Profile.sql`, like the statements below; its values: a namespace, a key and a value."""
READ_VALUE = "SELECT {entries.value} FROM {entries} WHERE {entries.namespace} = %s AND {entries.key} = %s"
WRITE_VALUE = "UPDATE {entries} SET {entries.value} = %s WHERE {entries.namespace} = %s AND {entries.key} = %s"
DELETE_ENTRY = "DELETE FROM {entries} WHERE {entries.namespace} = %s AND {entries.key} = %s"
_OPTIONAL = ("embedding", "metadata")
"""The columns that the application's table may lack."""
_PAGE = 200  # rows per INSERT when many are stored


@dataclass(frozen=True)
class Entry:
    """One entry. The components of its embedding are float4 values, which are stored without loss."""

    namespace: str
    key: str
    value: str
    embedding: tuple[float, ...] | None = field(default=None, repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict)


class EntryStore:
    """The entries in the table that the profile names, by one open session, or by a new one for each operation.

    The store neither commits nor rolls back: transactions are up to the session. In a table that requires an
    embedding, an entry without one is stored with all components 1, and read back without one.
    """

    def __init__(self, where: sql.Endpoint | sql.Session, profile: Profile) -> None:
        self._where, self._profile = where, profile
        self._columns = [name for name in _OPTIONAL if getattr(profile.entries, name)]
        required = "embedding" in profile.entries.blank
        self._no_embedding = (1.0,) * profile.entries.dimensions if required else None
        self._select = profile.sql(
            f"SELECT {', '.join(f'{{entries.{name}}}' for name in self._names)} "
            "FROM {entries} WHERE {entries.namespace} = %s"
        )

    def add(self, entry: Entry) -> None:
        """Store a new entry. Raises sql.Error if its key exists or a value is refused."""
        head, row = self._insertion
        sql.execute(self._where, f"{head} {row}", self._row(entry))

    def add_many(self, entries: Sequence[Entry]) -> None:
        """Store new entries, all in one transaction."""
        if isinstance(self._where, sql.Endpoint):
            with sql.session(self._where, autocommit=False) as session:
                EntryStore(session, self._profile).add_many(entries)
                session.commit()
            return
        head, template = self._insertion
        with self._where.cursor() as cursor:
            execute_values(cursor, f"{head} %s", map(self._row, entries), template=template, page_size=_PAGE)

    def find(self, namespace: str, key: str) -> list[Entry]:
        """The entries under a key: one or none, unless the database fails to keep keys unique."""
        by_key = self._profile.sql("{entries.key} = %s")
        return [self._entry(row) for row in sql.rows(self._where, f"{self._select} AND {by_key}", [namespace, key])]

    def find_each(self, namespace: str, keys: Iterable[str]) -> list[Entry]:
        """The entries under some keys."""
        return [found for key in keys for found in self.find(namespace, key)]

    def all(self, namespace: str) -> list[Entry]:
        """All entries of a namespace, in the order of their keys."""
        in_order = self._profile.sql("ORDER BY {entries.key}")
        return [self._entry(row) for row in sql.rows(self._where, f"{self._select} {in_order}", [namespace])]

    def update(self, namespace: str, key: str, value: str) -> int:
        """Change the value of an entry; returns how many entries were changed."""
        return sql.execute(self._where, self._profile.sql(WRITE_VALUE), [value, namespace, key])

    def update_each(self, namespace: str, keys: Iterable[str], value: str) -> int:
        """Set the value of the entries under some keys; returns how many were changed."""
        return sum(self.update(namespace, key, value) for key in keys)

    def delete(self, namespace: str, key: str) -> int:
        """Remove an entry; returns how many were removed."""
        return sql.execute(self._where, self._profile.sql(DELETE_ENTRY), [namespace, key])

    def delete_each(self, namespace: str, keys: Iterable[str]) -> int:
        """Remove the entries under some keys; returns how many were removed."""
        return sum(self.delete(namespace, key) for key in keys)

    @property
    def _names(self) -> list[str]:
        return ["namespace", "key", "value", *self._columns]

    @property
    def _insertion(self) -> tuple[str, str]:
        return self._profile.insertion("entries", self._names)

    def _row(self, entry: Entry) -> list[Any]:
        embedding = self._no_embedding if entry.embedding is None else entry.embedding
        vector = None if embedding is None else VectorDialect.literal(embedding)
        optional = {"embedding": vector, "metadata": Json(entry.metadata)}
        return [entry.namespace, entry.key, entry.value, *(optional[name] for name in self._columns)]

    def _entry(self, row: sql.Row) -> Entry:
        found = dict(zip(self._names, row, strict=True))
        vector = found.get("embedding")
        embedding = None if vector is None else VectorDialect.parsed(vector)
        return Entry(
            found["namespace"],
            found["key"],
            found["value"],
            None if embedding == self._no_embedding else embedding,
            found.get("metadata") or {},
        )


def contents(entries: Iterable[Entry]) -> dict[str, object]:
    """All columns of all entries by name, for a comparison; a key that occurs twice is listed twice."""
    found: dict[str, object] = {}
    times: Counter[str] = Counter()
    for entry in entries:
        times[entry.key] += 1
        name = entry.key if times[entry.key] == 1 else f"{entry.key} ({times[entry.key]})"
        found |= {f"{name}'s {column}": value for column, value in asdict(entry).items()}
    return found


# Counting rows. An index that leaves rows out makes a count wrong that uses it, even if the count names none of its
# columns: the HNSW index of RuVector 0.3.0 made 50,000 rows count as none.

LARGEST = 100_000
"""Pages (8 kB each) of the largest table that is counted."""
_PARTS = "(SELECT to_regclass(%s)::oid UNION SELECT relid FROM pg_partition_tree(to_regclass(%s))) part (id)"
"""A table and its partitions; on Citus the shards are elsewhere."""
_SIZE = f"SELECT sum(pg_relation_size(id)) FROM {_PARTS}"
_SHARDED_SIZE = f"""
    SELECT sum(CASE WHEN logicalrelid IS NULL THEN pg_relation_size(id) ELSE citus_relation_size(id) END)
      FROM {_PARTS} LEFT JOIN pg_dist_partition ON logicalrelid = id
"""
_VECTOR_INDEXES = f"""
    SELECT index.relname
      FROM {_PARTS} JOIN pg_index ON indrelid = id
      JOIN pg_class index ON index.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
     WHERE amname = ANY (%s)
"""
_EMBEDDING_CHECKS = f"""
    SELECT conname
      FROM {_PARTS} JOIN pg_constraint ON conrelid = id
      JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
     WHERE contype = 'c' AND attname = %s
"""
_IS_UNLOGGED = f"""
    SELECT EXISTS (
        SELECT FROM {_PARTS} JOIN pg_class ON pg_class.oid = id WHERE relpersistence = 'u' AND relkind = 'r'
    )
"""
_PAGE_SIZE = 8192
_WAYS: Mapping[str, tuple[str, ...]] = {
    "as the planner likes": (),
    "through the table itself": ("enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"),
    "through an index": ("enable_seqscan",),
}
"""Way of counting -> the planner settings to switch off so that the planner chooses it."""


@dataclass(frozen=True)
class Count:
    """The result of one way of counting."""

    rows: int | None
    """None if the table is too large to be counted, or to be counted in this way within the statement timeout."""
    plan: str
    indexes: frozenset[str]
    """The indexes in the plan, by their names on the node that has them."""
    too_slow: bool = False
    """Counting in this way, or in one that was tried before it, takes longer than the statement timeout."""


def counts(where: sql.Endpoint, table: str) -> dict[str, Count]:
    """Way of counting -> its result, all in one snapshot, in which all must agree."""
    with sql.session(where, autocommit=False) as session:
        session.set_session(isolation_level="REPEATABLE READ", readonly=True)
        _reach_workers(session)
        statement = f"SELECT count(*) FROM {quoted(table)}"
        found = {way: _planned(session, statement, switched_off) for way, switched_off in _WAYS.items()}
        if _size(session, quoted(table)) / _PAGE_SIZE > LARGEST:
            return found
        found = {way: replace(one, too_slow=True) for way, one in found.items()}  # until it is counted
        # Through an index, each row of a table that was not vacuumed lately may be read from the disk by itself.
        with suppress(psycopg2.errors.QueryCanceled):
            for way, switched_off in _WAYS.items():
                with _without(session, switched_off):
                    found[way] = replace(found[way], rows=int(sql.value(session, statement)), too_slow=False)
        return found


def vector_indexes(where: sql.Endpoint, table: str) -> frozenset[str]:
    """The names of the indexes of a table, and of its partitions, that need not have an entry for each row."""
    name = quoted(table)
    return frozenset(index for (index,) in sql.rows(where, _VECTOR_INDEXES, [name, name, list(VECTOR_METHODS)]))


def all_see_all(found: Mapping[str, Count], vector_indexes: Collection[str]) -> list[str]:
    """What is wrong with the counts: they differ, or one uses an index without an entry for each row."""
    numbers = {way: one.rows for way, one in found.items() if one.rows is not None}
    wrong = [f"different counts of the same rows: {numbers}"] if len(set(numbers.values())) > 1 else []
    return wrong + [
        f"{way} the count goes by {index}, which need not have an entry for each row"
        for way, one in found.items()
        for index in sorted(one.indexes)
        if is_one_of(index, vector_indexes)
    ]


def nothing_compared(found: Mapping[str, Count]) -> str:
    """Why the counts are no evidence, although the table is not too large to be counted; empty if they are."""
    counted = [way for way, one in found.items() if one.rows is not None]
    slow = [way for way, one in found.items() if one.too_slow]
    if len(counted) > 1 or not slow:
        return ""
    return (
        f"a count takes longer than {STATEMENT:g} s, so {len(counted)} of {len(found)} ways of counting could be tried "
        f"to the end, and there is nothing to compare (not counted: {', '.join(slow)})"
    )


def embedding_checks(where: sql.Endpoint, profile: Profile) -> frozenset[str]:
    """The names of the CHECK constraints over the embedding of an entry, also of partitions."""
    table = quoted(profile.entries.table)
    found = sql.rows(where, _EMBEDDING_CHECKS, [table, table, profile.entries.embedding])
    return frozenset(name for (name,) in found)


def _reach_workers(session: sql.Session) -> None:
    """Let the settings of this transaction reach the workers of Citus, and plans show the tasks of all shards."""
    sql.rows(
        session,
        "SELECT set_config('citus.propagate_set_commands', 'local', true), "
        "set_config('citus.explain_all_tasks', 'on', true)",
    )


def _size(session: sql.Session, table: str) -> int:
    """In bytes, without indexes; of all shards and partitions together."""
    known = sql.value(session, "SELECT to_regclass('pg_dist_partition') IS NOT NULL")
    return int(sql.value(session, _SHARDED_SIZE if known else _SIZE, [table, table]) or 0)


def _planned(session: sql.Session, statement: str, switched_off: Sequence[str]) -> Count:
    """A way of counting, before anything is counted."""
    with _without(session, switched_off):
        plan = "\n".join(line for (line,) in sql.rows(session, f"EXPLAIN (COSTS off) {statement}"))
        tree = sql.value(session, f"EXPLAIN (FORMAT JSON) {statement}")
    return Count(None, plan, frozenset(in_plan(json.loads(tree) if isinstance(tree, str) else tree)))


@contextmanager
def _without(session: sql.Session, settings: Sequence[str]) -> Iterator[None]:
    """These planner settings are off meanwhile; after an error, until the transaction ends."""
    for name in settings:  # each alone: Citus sends the workers whatever is sent with it
        sql.execute(session, f"SET LOCAL {name} = off")
    yield
    for name in settings:
        sql.execute(session, f"SET LOCAL {name} = on")


def write_uncommitted(session: sql.Session, profile: Profile, entry: Entry) -> None:
    """Write an entry and leave the transaction open. Raises Inconclusive if the session itself does not see it."""
    store = EntryStore(session, profile)
    store.add(entry)
    if store.find(entry.namespace, entry.key) != [entry]:
        raise Inconclusive("the session that wrote the entry does not see it")


def sightings(endpoint: sql.Endpoint, profile: Profile, entry: Entry, sessions: int) -> tuple[Entry, ...]:
    """The entries that new sessions, one after another, find under the entry's key.

    A replica that has the table without its rows, because it is unlogged, refuses to read it: it has none.
    """
    store = EntryStore(endpoint, profile)
    try:
        return tuple(found for _ in range(sessions) for found in store.find(entry.namespace, entry.key))
    except psycopg2.errors.FeatureNotSupported:
        name = quoted(profile.entries.table)
        if not sql.value(endpoint, _IS_UNLOGGED, [name, name]):
            raise
        return ()
