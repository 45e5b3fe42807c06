"""How the application's tables are sharded.

By namespace, so that what belongs to one namespace lies, and is joined, on one worker; trajectories by their id, as
they are looked for one by one. What is small, or joined with everything, is a reference table: a copy on every node.
Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html
"""

from collections.abc import Mapping

from support import sql
from support.timeouts import START

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
