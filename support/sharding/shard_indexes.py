"""The shards by the catalogs of their nodes: their indexes, and whether they are unlogged.

The catalog of the coordinator describes its own tables, which hold no rows: the indexes that keep keys unique, and
those that searches use, are on the shards; what a crash leaves of the rows depends on the persistence of the shards.
"""

from collections.abc import Collection, Iterable, Sequence

from support import sql
from support.example_app.profile import quoted, relation
from support.sharding.placement_checks import Indexes, Placement
from support.sharding.shards import partitions, placements
from support.target.citus import node_leaders
from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_in_parallel, heard_and_silent

# Indexes are compared by what they promise, as their names differ: kind, columns with operators, condition. One that is
# not valid promises nothing yet; one that is not live is being dropped.
_INDEXES = """
    SELECT indrelid,
           concat(CASE WHEN indisunique THEN 'unique ' END, amname, ' (', columns, ')',
                  ' WHERE ' || pg_get_expr(indpred, indrelid)),
           indisvalid
      FROM pg_index
      JOIN pg_class index ON index.oid = indexrelid
      JOIN pg_am ON pg_am.oid = index.relam
      CROSS JOIN LATERAL (
          SELECT string_agg(concat_ws(' ', pg_get_indexdef(indexrelid, number, false), opcname), ', ' ORDER BY number)
            FROM generate_series(1, indnatts::int) number
            LEFT JOIN pg_opclass class ON class.oid = indclass[number - 1] AND NOT opcdefault
      ) each (columns)
     WHERE indrelid = ANY (%s::oid[]) AND indislive
"""
# Which table it is, is hidden from a role that is neither the one that builds the index nor a member of pg_monitor. The
# lock is that of a concurrent DROP INDEX on the index; vacuum has it on the table only.
_IN_PROGRESS = """
    SELECT relname
      FROM pg_stat_progress_create_index LEFT JOIN pg_class ON pg_class.oid = relid
     WHERE datname = current_database()
     UNION ALL
    SELECT relname
      FROM pg_locks JOIN pg_index ON indexrelid = relation JOIN pg_class ON pg_class.oid = indrelid
     WHERE mode = 'ShareUpdateExclusiveLock'
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_TABLES = "SELECT name, to_regclass(quoted)::oid FROM unnest(%s::text[], %s::text[]) of_each (name, quoted)"
_SHARDS = "SELECT relname, oid FROM pg_class WHERE relname = ANY (%s) AND relkind IN ('r', 'p')"
# The shard of a table that is partitioned (relkind p) has no rows of its own.
_UNLOGGED = "SELECT relname FROM pg_class WHERE relname = ANY (%s) AND relkind = 'r' AND relpersistence = 'u'"


def placed(cluster: Cluster, tables: Iterable[str]) -> list[Placement]:
    """Every placement of those of the tables, and of their partitions, that Citus distributes or copies."""
    with sql.session(cluster.write) as session:
        leaves = dict.fromkeys(leaf for table in tables for leaf in partitions(session, table))
        return placements(session, list(leaves))


def of_tables(where: sql.Endpoint, tables: Sequence[str]) -> Indexes:
    """The indexes of the tables that the coordinator shows."""
    with sql.session(where) as session:
        return _indexes(session, sql.rows(session, _TABLES, [list(tables), [quoted(table) for table in tables]]))


def of_shards(cluster: Cluster, shards: Collection[str]) -> dict[str, Indexes | NoAnswer]:
    """Node -> the indexes of those of these shards that are among its own tables, read on its leader."""
    leaders = node_leaders(cluster)

    def indexes(node: str) -> Indexes:
        with sql.session(leaders[node]) as session, sql.settings(session, citus__override_table_visibility="off"):
            return _indexes(session, sql.rows(session, _SHARDS, [list(shards)]))

    return ask_in_parallel(leaders, indexes)


def in_progress(cluster: Cluster, known: Collection[Placement]) -> frozenset[str]:
    """The tables of which an index is being built or dropped now, on the coordinator or in a shard.

    Read on the leader of each group. Until an index is built in all shards, Citus keeps it invalid on the coordinator.
    These are all of the tables where a node does not show which one it is.
    """
    leaders = node_leaders(cluster)

    def at_work(node: str) -> list[str | None]:
        with sql.session(leaders[node]) as session, sql.settings(session, citus__override_table_visibility="off"):
            return [name for (name,) in sql.rows(session, _IN_PROGRESS)]

    heard, silent = heard_and_silent(ask_in_parallel(leaders, at_work))
    names = {name for found in heard.values() for name in found}
    hidden = bool(silent) or None in names
    return frozenset(one.table for one in known if hidden or names & {one.name, relation(one.table)})


def unlogged(cluster: Cluster, shards: Collection[str]) -> dict[str, frozenset[str] | NoAnswer]:
    """Node -> those of these shards that are among its own tables and unlogged, read on its leader."""
    leaders = node_leaders(cluster)

    def found(node: str) -> frozenset[str]:
        with sql.session(leaders[node]) as session, sql.settings(session, citus__override_table_visibility="off"):
            return frozenset(name for (name,) in sql.rows(session, _UNLOGGED, [list(shards)]))

    return ask_in_parallel(leaders, found)


def _indexes(session: sql.Session, oids: Sequence[sql.Row]) -> Indexes:
    """The indexes of relations, given as rows of name and oid."""
    names = {oid: name for name, oid in oids if oid is not None}
    found: dict[str, dict[str, bool]] = {name: {} for name in names.values()}
    with sql.settings(session, search_path=""):  # so that each node writes every name with its schema
        for oid, index, valid in sql.rows(session, _INDEXES, [list(names)]):
            known = found[names[oid]]
            known[index] = valid or known.get(index, False)
    return found
