"""The application's entries: what it keeps, and how it stores, finds and changes them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from psycopg2.extras import Json, execute_values

from support import sql
from support.application.vectors import VectorDialect

DIMENSIONS = 384
"""Of every embedding."""

_COLUMNS = "namespace, key, value, embedding, metadata"
_INSERT = f"INSERT INTO memory_entries ({_COLUMNS}) VALUES %s"
_SELECT = f"SELECT {_COLUMNS} FROM memory_entries WHERE namespace = %s"
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

    Transactions are the session's business: the store neither commits nor rolls back.
    """

    def __init__(self, where: sql.Endpoint | sql.Session) -> None:
        self._where = where

    def add(self, entry: Entry) -> None:
        """Store a new entry. Raises sql.Error when its key is taken or a value is refused."""
        sql.execute(self._where, _INSERT % "(%s, %s, %s, %s, %s)", _row(entry))

    def add_many(self, entries: Sequence[Entry]) -> None:
        """Store new entries, all in one transaction."""
        if isinstance(self._where, sql.Endpoint):
            with sql.session(self._where, autocommit=False) as session:
                EntryStore(session).add_many(entries)
                session.commit()
            return
        with self._where.cursor() as cursor:
            execute_values(cursor, _INSERT, map(_row, entries), page_size=_PAGE)

    def find(self, namespace: str, key: str) -> list[Entry]:
        """What is stored under a key: one entry or none, unless the database breaks its word."""
        return [_entry(row) for row in sql.rows(self._where, f"{_SELECT} AND key = %s", [namespace, key])]

    def find_each(self, namespace: str, keys: Iterable[str]) -> list[Entry]:
        """What is stored under each of some keys."""
        return [found for key in keys for found in self.find(namespace, key)]

    def all(self, namespace: str) -> list[Entry]:
        """Every entry of a namespace, by key."""
        return [_entry(row) for row in sql.rows(self._where, f"{_SELECT} ORDER BY key", [namespace])]

    def update(self, namespace: str, key: str, value: str) -> int:
        """Give an entry another value; returns how many entries were changed."""
        statement = "UPDATE memory_entries SET value = %s, updated_at = now() WHERE namespace = %s AND key = %s"
        return sql.execute(self._where, statement, [value, namespace, key])

    def update_each(self, namespace: str, keys: Iterable[str], value: str) -> int:
        """Give the same value to the entries under some keys; returns how many were changed."""
        return sum(self.update(namespace, key, value) for key in keys)

    def delete(self, namespace: str, key: str) -> int:
        """Remove an entry; returns how many were removed."""
        statement = "DELETE FROM memory_entries WHERE namespace = %s AND key = %s"
        return sql.execute(self._where, statement, [namespace, key])

    def delete_each(self, namespace: str, keys: Iterable[str]) -> int:
        """Remove the entries under some keys; returns how many were removed."""
        return sum(self.delete(namespace, key) for key in keys)


def contents(entries: Iterable[Entry]) -> dict[str, object]:
    """Every column of every entry by its name, to be compared with others; a key that comes twice is there twice."""
    found: dict[str, object] = {}
    times: Counter[str] = Counter()
    for entry in entries:
        times[entry.key] += 1
        name = entry.key if times[entry.key] == 1 else f"{entry.key} ({times[entry.key]})"
        found |= {f"{name}'s {column}": value for column, value in asdict(entry).items()}
    return found


def _row(entry: Entry) -> tuple[Any, ...]:
    vector = None if entry.embedding is None else VectorDialect.literal(entry.embedding)
    return entry.namespace, entry.key, entry.value, vector, Json(entry.metadata)


def _entry(row: sql.Row) -> Entry:
    namespace, key, value, vector, metadata = row
    return Entry(namespace, key, value, None if vector is None else VectorDialect.parsed(vector), metadata)
