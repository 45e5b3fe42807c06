"""Nearest-neighbour search by the HNSW index, and the proof that the index was used."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import TRANSACTION_STATUS_INTRANS

from support import sql
from support.example_app.index_names import in_plan
from support.example_app.profile import Profile, quoted
from support.example_app.vectors import DIALECTS, VectorDialect, vector_extension

SEARCH = "search"
_INDEXES = """
    SELECT index.relname
      FROM pg_index
      JOIN pg_class index ON index.oid = indexrelid
      JOIN pg_am ON pg_am.oid = index.relam
      JOIN pg_opclass class ON class.oid = ANY (indclass)
      JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
     WHERE indrelid IN (SELECT to_regclass(%s) UNION SELECT relid FROM pg_partition_tree(to_regclass(%s)))
       AND attname = %s AND indisvalid AND amname = 'hnsw' AND opcname = %s
"""
_SET = "SELECT set_config(name, %s, %s) FROM pg_settings WHERE name = %s"
_WITH_SHARDS = ("citus.propagate_set_commands = 'local'", "citus.explain_all_tasks = on")
_KNOWN = "SELECT 1 FROM pg_dist_partition WHERE logicalrelid = to_regclass(%s)"
"""Whether Citus plans the searches of a table: one with a single shard, or with copies, may be on a worker, too."""


@dataclass(frozen=True)
class Neighbour:
    """One entry that a search found, and its distance."""

    namespace: str
    key: str
    distance: float


class Search:
    """Searches by one open session, which is prepared for them.

    With `every_shard`, a namespace given to a search is the prefix of the namespaces to search, so that Citus must
    include every shard. With `exact`, no vector index is used: all entries of the namespace are compared. With
    `own_settings` nothing is set for the session: it searches by the settings of role, database and server.
    """

    def __init__(
        self,
        session: sql.Session,
        profile: Profile,
        every_shard: bool = False,
        exact: bool = False,
        own_settings: bool = False,
    ) -> None:
        self._session, self._profile, self._exact = session, profile, exact
        own = (
            "starts_with({entries.namespace}, %(namespace)s)" if every_shard else "{entries.namespace} = %(namespace)s"
        )
        self._in_force: list[str] = []
        self.dialect: VectorDialect = DIALECTS[profile.entries.vector]
        distance = f"{{entries.embedding}} {self.dialect.cosine} %(sought)s"
        order = f"({distance}) + 0" if exact else distance  # no index has the order of an expression
        self._statement = profile.sql(
            f"SELECT {{entries.namespace}}, {{entries.key}}, {distance} AS distance FROM {{entries}} "
            f"WHERE {own} ORDER BY {order} LIMIT %(count)s"
        )
        self._sharded = False
        if not own_settings:
            self._prepare()

    def _prepare(self) -> None:
        # The extension's settings exist once its library is loaded, and an older version lacks some of them.
        local = not self._session.keeps_settings
        if local:
            self._begin()
        sql.execute(self._session, f"SELECT '[1]'::{self.dialect.type}")
        for name, setting in self.dialect.search_settings.items():
            if sql.rows(self._session, _SET, [setting, local, name]):
                self._in_force.append(f"{name} = {setting}")
        # For few entries, or in a table full of other namespaces, the planner rightly sorts all entries of the
        # namespace; but that would not test the index. This setting makes the planner prefer the index, the one
        # way without a sort. It cannot make it use an index that is missing or is for another metric.
        if not self._exact:
            sql.execute(self._session, f"SET {'LOCAL ' if local else ''}enable_sort = off")
            self._in_force.append("enable_sort = off")
        known = sql.value(self._session, "SELECT to_regclass('pg_dist_partition') IS NOT NULL")
        self._sharded = bool(known and sql.rows(self._session, _KNOWN, [quoted(self._profile.entries.table)]))

    @property
    def goes_on(self) -> bool:
        """Whether a search by the index goes on until it has found enough entries of its namespace."""
        name = self.dialect.goes_on_by
        return bool(name) and any(one.startswith(f"{name} = ") for one in self._in_force)

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings under which it searches, each as "name = value"."""
        return tuple(self._in_force)

    def nearest(self, namespace: str, sought: Sequence[float], count: int) -> list[Neighbour]:
        """The entries of a namespace nearest to a vector by cosine distance, the nearest first."""
        found = self._rows(self._statement, self._values(namespace, sought, count))
        return [Neighbour(*row) for row in found]

    def statement(self, namespace: str, sought: Sequence[float], count: int) -> str:
        """The SQL of that search, with its values."""
        with self._session.cursor() as cursor:
            return cursor.mogrify(self._statement, self._values(namespace, sought, count)).decode()

    def indexes_used(self, namespace: str, sought: Sequence[float], count: int) -> set[str]:
        """The names of the indexes in the plan of that search."""
        return set(in_plan(self.tree(namespace, sought, count)))

    def tree(self, namespace: str, sought: Sequence[float], count: int) -> Any:
        """The plan of that search as parsed JSON, with all of its tasks."""
        statement, values = f"EXPLAIN (FORMAT JSON) {self._statement}", self._values(namespace, sought, count)
        ((plan,),) = self._rows(statement, values)
        return json.loads(plan) if isinstance(plan, str) else plan

    def plan(self, namespace: str, sought: Sequence[float], count: int) -> str:
        """The plan of that search as text, for the report."""
        statement, values = f"EXPLAIN {self._statement}", self._values(namespace, sought, count)
        return "\n".join(line[:160] for (line,) in self._rows(statement, values))

    def cosine_indexes(self) -> set[str]:
        """The names of the valid HNSW indexes for cosine distance over the entries' embeddings.

        They include those of partitions: plans name these, and never the index of a table that is partitioned.
        """
        entries, wanted = self._profile.entries, self.dialect.operator_class("cosine")
        table = quoted(entries.table)
        found = sql.rows(self._session, _INDEXES, [table, table, entries.embedding, wanted])
        return {name for (name,) in found}

    def _rows(self, statement: str, values: dict[str, Any]) -> list[sql.Row]:
        """The rows of a statement under the search's settings."""
        if self._sharded or not self._session.keeps_settings:
            self._begin()
        try:
            return sql.rows(self._session, statement, values)
        except sql.Error:
            with suppress(sql.Error):
                sql.execute(self._session, "ROLLBACK")
            raise

    def _begin(self) -> None:
        """Begin the transaction of all searches, unless it has begun: of tables that Citus keeps, or behind a pooler.

        The settings reach Citus' workers only as SET LOCAL. As one transaction has all searches, no search has to pay
        for its beginning, the settings and the commit.

        Source: https://docs.citusdata.com/en/v13.0/develop/api_guc.html#citus-propagate-set-commands-enum
        """
        if self._session.get_transaction_status() != TRANSACTION_STATUS_INTRANS:
            settings = (*(_WITH_SHARDS if self._sharded else ()), *self._in_force)
            sql.execute(self._session, "; ".join(["BEGIN", *(f"SET LOCAL {one}" for one in settings)]))

    def _values(self, namespace: str, sought: Sequence[float], count: int) -> dict[str, Any]:
        return {"namespace": namespace, "sought": self.dialect.literal(sought), "count": count}


CROWD = 20_000
"""Entries of others that a search by the index may have to pass over. Beyond so many, pgvector gives up by default."""
_OTHERS = """
    SELECT count(*) FROM (
        SELECT 1 FROM {entries} WHERE NOT starts_with({entries.namespace}, %s) LIMIT %s
    ) others
"""


@dataclass(frozen=True)
class Crowd:
    """The entries of others in the table that is searched."""

    others: int
    """How many there are; no more than one beyond CROWD are counted."""
    goes_on: bool
    """Whether a search by the index goes on until it has found enough entries of its namespace."""
    version: str
    """The extension, and its version."""

    @property
    def why_not_by_index(self) -> str:
        """Why a search by the index need not find what is nearest in one namespace; empty if it should.

        A planner that is left to itself does not use the index then.
        """
        if self.others > CROWD:
            return f"the table holds more than {CROWD:,} entries of others"
        if self.others and not self.goes_on:
            return (
                f"{self.version} searches a fixed number of candidates, whatever their namespace, and the table holds "
                f"{self.others:,} entries of others (pgvector 0.8 and newer can go on searching)"
            )
        return ""


def crowd(where: sql.Endpoint, profile: Profile, own: str) -> Crowd:
    """What else is in the table of entries: those whose namespace does not begin with `own`."""
    with sql.session(where) as session:
        others = int(sql.value(session, profile.sql(_OTHERS), [own, CROWD + 1]))
        goes_on = Search(session, profile).goes_on
        extension = vector_extension(session)
    return Crowd(others, goes_on, f"{extension.name} {extension.installed}" if extension else "no extension")


def distance(where: sql.Endpoint | sql.Session, dialect: VectorDialect, metric: str, one: str, other: str) -> float:
    """The distance of two vectors in text form, computed by that server; `metric` is "cosine" or "Euclidean"."""
    operator = {"cosine": dialect.cosine, "Euclidean": dialect.euclidean}[metric]
    statement = f"SELECT %s::{dialect.type} {operator} %s::{dialect.type}"
    return float(sql.value(where, statement, [one, other]))
