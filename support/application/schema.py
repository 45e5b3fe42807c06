"""Creates the application's schema, and removes what a run stored in it."""

from pathlib import Path
from string import Template

from psycopg2 import sql as compose

from support import sql
from support.application.vectors import VectorDialect

STATEMENTS = Path(__file__).with_name("schema.sql")

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


def missing(where: sql.Endpoint | sql.Session) -> tuple[str, ...]:
    """The tables that are not on the search path of that login."""
    found = {
        table
        for (table,) in sql.rows(where, "SELECT t FROM unnest(%s) t WHERE to_regclass(t) IS NOT NULL", [list(TABLES)])
    }
    return tuple(table for table in TABLES if table not in found)


def remove(where: sql.Endpoint, namespace: str) -> int:
    """Delete every row of a namespace, and of those named `<namespace>-...`; returns how many there were."""
    with sql.session(where) as session:
        return sum(_remove_from(session, table, namespace) for table in TABLES)


def _remove_from(session: sql.Session, table: str, namespace: str) -> int:
    statement = compose.SQL("DELETE FROM {table} WHERE {owner} = %(it)s OR starts_with({owner}, %(it)s || '-')").format(
        table=compose.Identifier(table), owner=compose.Identifier(_OWNER_COLUMN.get(table, "namespace"))
    )
    with session.cursor() as cursor:
        cursor.execute(statement, {"it": namespace})
        return int(cursor.rowcount)
