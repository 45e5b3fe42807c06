"""The tables of the other installation: serial keys, unique constraints, timestamps without a time zone.

Where they are sharded, each key holds the column by which its table is distributed, as Citus demands it.
"""

from collections.abc import Mapping
from pathlib import Path
from string import Template

from support import sql
from support.example_app.vectors import VectorDialect
from support.timeouts import START

STATEMENTS = Path(__file__).with_name("swarm.sql")
FURTHER = Path(__file__).with_name("swarm_citus.sql")
"""What there is besides where it is sharded."""

BY_NAMESPACE = ("memory_entries", "patterns", "graph_nodes", "graph_edges", "hyperbolic_embeddings")
REFERENCE = ("vector_indexes", "sessions", "metadata")
DISTRIBUTED: Mapping[str, str] = {
    **dict.fromkeys(BY_NAMESPACE, "namespace"),
    "trajectories": "id",
    "distributed.users": "user_id",
    "distributed.events": "user_id",
    "distributed.embeddings": "user_id",
}
"""Table -> the column by which it is distributed."""


def create(where: sql.Endpoint, dialect: VectorDialect, sharded: bool) -> None:
    """Create all tables and indexes as the role that logs in there, and shard them if that is asked for."""
    with sql.session(where, statement_timeout=START) as session:
        sql.execute(session, f"BEGIN; {statements(dialect, sharded)} COMMIT")
        if not sharded:
            return
        for table, column in DISTRIBUTED.items():
            sql.rows(session, "SELECT create_distributed_table(%s, %s)", [table, column])
        for table in (*REFERENCE, "distributed.config"):
            sql.rows(session, "SELECT create_reference_table(%s)", [table])


def statements(dialect: VectorDialect, sharded: bool) -> str:
    """The schema in the words of one vector extension."""
    words = {
        "vector": dialect.type,
        "cosine": dialect.operator_class("cosine"),
        "key": "PRIMARY KEY (namespace, id)" if sharded else "PRIMARY KEY (id)",
        # A local table cannot refer to one that is distributed.
        "pattern": "integer" if sharded else "integer REFERENCES patterns (id) ON DELETE CASCADE",
    }
    files = (STATEMENTS, FURTHER) if sharded else (STATEMENTS,)
    return "".join(Template(file.read_text(encoding="utf-8")).substitute(words) for file in files)
