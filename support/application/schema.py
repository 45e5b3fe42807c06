"""Creates the application's schema, and removes what a run stored in it."""

from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import LiteralString

from psycopg2 import sql as compose

from support import sql
from support.application.vectors import VectorDialect

STATEMENTS = Path(__file__).with_name("schema.sql")
LOCAL = "local_tables"
"""The schema with a copy of all tables that is not sharded: it lives on the coordinator's members alone."""

TABLES = (
    "memory_entries",
    "patterns",
    "pattern_history",
    "trajectories",
    "graph_edges",
    "graph_nodes",
    "hyperbolic_embeddings",
    "vector_indexes",
    "sessions",
    "metadata",
)
"""Every table, those that refer to others first."""

# Where a table has no namespace, the namespace leads its key.
_OWNER_COLUMN = {"vector_indexes": "name", "metadata": "key"}


def statements(dialect: VectorDialect) -> str:
    """The schema in the words of one vector extension."""
    return Template(STATEMENTS.read_text(encoding="utf-8")).substitute(
        vector=dialect.type, cosine=dialect.cosine_class, with_hnsw=dialect.hnsw_options
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


def missing(where: sql.Endpoint | sql.Session) -> tuple[str, ...]:
    """The tables that are not on the search path of that login."""
    found = {
        table
        for (table,) in sql.rows(where, "SELECT t FROM unnest(%s) t WHERE to_regclass(t) IS NOT NULL", [list(TABLES)])
    }
    return tuple(table for table in TABLES if table not in found)


def remove(where: sql.Endpoint, namespaces: Sequence[str]) -> int:
    """Delete every row of these namespaces; returns how many there were."""
    return _delete(where, "{owner} = ANY(%(those)s)", list(namespaces))


def sweep(where: sql.Endpoint, namespace: str) -> int:
    """Delete every row of a namespace and of those named `<namespace>-...`; reads whole tables."""
    return _delete(where, "({owner} = %(those)s OR starts_with({owner}, %(those)s || '-'))", namespace)


def _delete(where: sql.Endpoint, condition: LiteralString, those: str | list[str]) -> int:
    deleted = 0
    with sql.session(where) as session, session.cursor() as cursor:
        for table in TABLES:
            owner = compose.Identifier(_OWNER_COLUMN.get(table, "namespace"))
            statement = compose.SQL("DELETE FROM {table} WHERE " + condition)
            cursor.execute(statement.format(table=compose.Identifier(table), owner=owner), {"those": those})
            deleted += cursor.rowcount
    return deleted
