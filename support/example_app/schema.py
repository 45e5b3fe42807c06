"""Creates the application's schema, and removes what a run stored in it.

How the application's tables are sharded.

By namespace, so that what belongs to one namespace lies, and is joined, on one worker; trajectories by their id, as
they are looked for one by one. What is small, or joined with everything, is a reference table: a copy on every node.
Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html

Tables of a scenario's own that are sharded as the application's are: to be moved, filled and dropped at will.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import LiteralString

from psycopg2 import errorcodes

from support import sql
from support.errors import ConnectFailed, NotAvailable
from support.example_app.profile import Entries, Profile, Reference, Related, quoted, relation
from support.example_app.vectors import VectorDialect
from support.timeouts import RECOVERY, START
from support.waiting import describe, eventually

STATEMENTS = Path(__file__).with_name("schema.sql")
LOCAL = "local_tables"
"""The schema with a copy of all tables that is not sharded: it lives on the coordinator's members alone."""


def statements(dialect: VectorDialect) -> str:
    """The schema in the words of one vector extension."""
    return Template(STATEMENTS.read_text(encoding="utf-8")).substitute(
        vector=dialect.type, cosine=dialect.operator_class("cosine"), with_hnsw=dialect.hnsw_options
    )


def create(where: sql.Endpoint | sql.Session, dialect: VectorDialect) -> None:
    """Create all tables and indexes, as the role that logs in there; in one transaction."""
    sql.execute(where, f"BEGIN; {statements(dialect)} COMMIT")


def create_local(where: sql.Endpoint, dialect: VectorDialect) -> None:
    """Create the copy of all tables that is not sharded; empty."""
    with sql.session(where) as session:
        sql.execute(session, f"CREATE SCHEMA {LOCAL}")
        sql.execute(session, f"SET search_path = {LOCAL}, public")
        create(session, dialect)


def remove(where: sql.Endpoint, profile: Profile, namespaces: Sequence[str]) -> int:
    """Delete every row of these namespaces from the tables that scenarios store rows in; returns how many."""
    return _delete(where, profile, "{mark} = ANY(%(those)s)", "{mark} LIKE ANY(%(keys)s)", list(namespaces))


def sweep(where: sql.Endpoint, profile: Profile, namespace: str) -> int:
    """Delete every row of a namespace and of those named `<namespace>-...`; reads whole tables."""
    below = "({mark} = %(those)s OR starts_with({mark}, %(those)s || '-'))"
    return _delete(where, profile, below, "starts_with({mark}, %(those)s)", namespace)


def _delete(
    where: sql.Endpoint, profile: Profile, by_namespace: LiteralString, by_key: LiteralString, those: str | list[str]
) -> int:
    """Delete the rows of ours: by their namespace, or by their key in a table that has none."""
    deleted = 0
    values = {"those": those, "keys": [f"{_escaped(one)}/%" for one in ([those] if isinstance(those, str) else those)]}
    with sql.session(where) as session:
        for _, part in reversed(list(profile.parts())):  # what refers to others first
            condition = by_key if isinstance(part, Reference) and part.namespace is None else by_namespace
            statement = f"DELETE FROM {quoted(part.table)} WHERE {condition.format(mark=quoted(profile.mark(part)))}"
            try:
                deleted += sql.execute(session, statement, values)
            except sql.Error as error:
                if error.pgcode != errorcodes.UNDEFINED_TABLE:  # in a table that is not there nothing is left
                    raise
    return deleted


def _escaped(text: str) -> str:
    """Text as LIKE takes it literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


SHARDS = 32
DISTRIBUTED: Mapping[str, tuple[str, str]] = {
    "memory_entries": ("namespace", "none"),
    "patterns": ("namespace", "memory_entries"),
    "graph_nodes": ("namespace", "memory_entries"),
    "graph_edges": ("namespace", "memory_entries"),
    "trajectories": ("id", "none"),
}
"""Table -> its distribution column, and the table that it is co-located with."""
REFERENCE = ("pattern_history", "hyperbolic_embeddings", "vector_indexes", "sessions", "metadata")

_DISTRIBUTE = "SELECT create_distributed_table(%s, %s, shard_count => %s, colocate_with => %s)"
_CO_LOCATE = "SELECT create_distributed_table(%s, %s, colocate_with => %s)"
_REFER = "SELECT create_reference_table(%s)"


def distribute(where: sql.Endpoint) -> None:
    """Shard the tables that are on the login's search path, each by itself: its shards are made in parallel."""
    with sql.session(where, statement_timeout=START) as session:
        for table, (column, other) in DISTRIBUTED.items():
            if other == "none":
                sql.rows(session, _DISTRIBUTE, [table, column, SHARDS, other])
            else:
                sql.rows(session, _CO_LOCATE, [table, column, other])
        for table in REFERENCE:
            sql.rows(session, _REFER, [table])


_COPY = "CREATE TABLE {copy} (LIKE {table} INCLUDING ALL)"
_DISTRIBUTE_COPY = "SELECT create_distributed_table(%s, %s, shard_count => %s, colocate_with => 'none')"


@contextmanager
def sharded_copies(where: sql.Endpoint, schema: str, parts: Sequence[Entries | Related], shards: int) -> Iterator[None]:
    """Empty copies of these parts' tables, distributed by namespace and co-located, in a schema dropped at the end.

    Raises NotAvailable where the application's role may not make a schema.
    """
    try:
        sql.execute(where, f"CREATE SCHEMA {schema}")
    except sql.Error as error:
        if error.pgcode != errorcodes.INSUFFICIENT_PRIVILEGE:
            raise
        raise NotAvailable(f"tables of our own cannot be made: {describe(error)}") from error
    try:
        with sql.session(where) as session:
            first = ""
            for part in parts:
                copy = quoted(f"{schema}.{relation(part.table)}")
                sql.execute(session, _COPY.format(copy=copy, table=quoted(part.table)))
                if not first:
                    sql.rows(session, _DISTRIBUTE_COPY, [copy, part.namespace, shards])
                else:
                    sql.rows(session, _CO_LOCATE, [copy, part.namespace, first])
                first = first or copy
        yield
    finally:
        eventually(
            lambda: sql.execute(where, f"DROP SCHEMA {schema} CASCADE"),
            within=RECOVERY,  # whatever was done to a worker meanwhile
            subject=f"the schema {schema} is dropped",
            retry_on=(sql.Error, ConnectFailed),
        )
