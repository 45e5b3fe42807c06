"""What each node of a sharded cluster holds: the rows of the shards that lie there, read there.

A node's shards are found among its own tables, not by what the coordinator believes.

How tables are sharded and where their shards are: as Citus has it, and as the nodes' own tables show.

Source: https://docs.citusdata.com/en/v13.0/develop/api_metadata.html
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from support import sql
from support.errors import ConnectFailed
from support.example_app.profile import Entries, Reference, columns_of, quoted, relation
from support.sharding.placement_checks import NOWHERE, Placement
from support.target import citus
from support.target.cluster import Cluster

COORDINATOR = "the coordinator"
_SCHEMA = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass(%s)"
_UNHIDE_SHARDS = "SET citus.override_table_visibility = off"
_SHARDS = """
    SELECT format('%%I.%%I', nspname, relname)
      FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE nspname = %s AND regexp_replace(relname, '_[0-9]+$', '') = %s AND relname ~ '_[0-9]+$' AND relkind = 'r'
"""


def leaders_of_nodes(cluster: Cluster) -> dict[str, sql.Endpoint]:
    """The leader of each group, past every proxy: "the coordinator", "worker group 1", ...

    By Patroni's word where the group has one, else at the address that Citus has for it. A coordinator need not be
    among its own nodes: it is behind the write endpoint.
    """
    found = {0: cluster.write} | {node.group: cluster.at_node(node.address) for node in citus.known_to(cluster.write)}
    found |= {group.group: group.of_member(group.leader()) for group in cluster.groups if group.has_patroni}
    return {name(group): replace(found[group], name=name(group)) for group in sorted(found)}


def name(group: int) -> str:
    """How a group is spoken of."""
    return f"worker group {group}" if group else COORDINATOR


def held(
    cluster: Cluster, part: Entries | Reference, columns: Sequence[str], namespaces: Sequence[str]
) -> dict[str, list[sql.Row]]:
    """Node -> those columns of the rows of those namespaces that its own shards of a table hold, read on its leader.

    The columns are named by the fields of the part. Rows of a reference table are told by their keys.
    """
    schema = str(sql.value(cluster.write, _SCHEMA, [quoted(part.table)]))
    return {node: _rows(where, schema, part, columns, namespaces) for node, where in _data_nodes(cluster).items()}


def _data_nodes(cluster: Cluster) -> dict[str, sql.Endpoint]:
    """The leaders of the nodes that Citus keeps data on; a coordinator that is not among its own nodes gets none."""
    registered = {name(node.group) for node in citus.known_to(cluster.write)}
    return {node: where for node, where in leaders_of_nodes(cluster).items() if node in registered}


def _rows(
    where: sql.Endpoint, schema: str, part: Entries | Reference, columns: Sequence[str], namespaces: Sequence[str]
) -> list[sql.Row]:
    with sql.session(where) as session:
        sql.execute(session, _UNHIDE_SHARDS)
        shards = [shard for (shard,) in sql.rows(session, _SHARDS, [schema, relation(part.table)])]
        if not shards:
            return []
        named = columns_of(part)
        wanted = ", ".join(quoted(named[column]) for column in columns)
        if isinstance(part, Entries):
            own, values = f"{quoted(part.namespace)} = ANY (%s)", list(namespaces)
        else:
            own, values = f"split_part({quoted(part.key)}, '/', 1) = ANY (%s)", list(namespaces)
        statement = " UNION ALL ".join(f"SELECT {wanted} FROM {shard} WHERE {own}" for shard in shards)
        return sql.rows(session, statement, [values] * len(shards))


_TABLES = """
    SELECT t, to_regclass(quoted) IS NOT NULL, partmethod, repmodel, colocationid,
           CASE WHEN partkey IS NOT NULL THEN column_to_column_name(logicalrelid, partkey) END
      FROM unnest(%s, %s) AS named (t, quoted) LEFT JOIN pg_dist_partition ON logicalrelid = to_regclass(quoted)
"""
_PLACEMENTS = """
    SELECT t, shardid, groupid, coalesce(shardminvalue::bigint, 0), coalesce(shardmaxvalue::bigint, 0), colocationid,
           shardstate = 1
      FROM unnest(%s, %s) AS named (t, quoted)
      JOIN pg_dist_partition part ON part.logicalrelid = to_regclass(quoted)
      JOIN pg_dist_shard USING (logicalrelid)
      LEFT JOIN pg_dist_placement USING (shardid)
     ORDER BY t, shardid, groupid
"""
_UNHIDE = "SELECT set_config('citus.override_table_visibility', 'off', false)"
_HELD = """
    SELECT shard.relname, shard.relnamespace::regnamespace::text
      FROM unnest(%s, %s) AS named (t, quoted)
      JOIN pg_class parent ON parent.oid = to_regclass(quoted)
      JOIN pg_class shard ON shard.relnamespace = parent.relnamespace
       AND shard.relname ~ '_[0-9]+$' AND regexp_replace(shard.relname, '_[0-9]+$', '') = parent.relname
     WHERE shard.relkind = 'r'
"""
_SIZES = """
    SELECT shardid, max(size)
      FROM pg_dist_shard LEFT JOIN citus_shard_sizes() ON shard_id = shardid
     WHERE logicalrelid = ANY (SELECT to_regclass(quoted) FROM unnest(%s, %s) AS named (t, quoted))
     GROUP BY shardid
"""
_HASHES = "SELECT value, hashtext(value) FROM unnest(%s) value"


@dataclass(frozen=True)
class Sharding:
    """How one table is kept, as one node knows it."""

    kind: str
    """"distributed", "reference", "local", or "missing" where there is no such table."""
    column: str = ""
    family: int = 0


_LOCAL, _MISSING = Sharding("local"), Sharding("missing")


def sharding_of(where: sql.Endpoint | sql.Session, tables: Sequence[str]) -> dict[str, Sharding]:
    """How each of the tables is kept, as that server knows it."""
    found = {}
    for table, there, method, model, family, column in sql.rows(where, _TABLES, _named(tables)):
        kind = "distributed" if method == "h" else "reference" if (method, model) == ("n", "t") else "local"
        found[table] = Sharding(kind, column or "", family) if kind != "local" else _LOCAL if there else _MISSING
    return found


def placements(where: sql.Endpoint | sql.Session, tables: Sequence[str]) -> list[Placement]:
    """Every placement of the tables' shards; a shard that has none is on "no node"."""
    return [
        Placement(table, shard, NOWHERE if group is None else name(group), lowest, highest, family, bool(active))
        for table, shard, group, lowest, highest, family, active in sql.rows(where, _PLACEMENTS, _named(tables))
    ]


def held_on_nodes(cluster: Cluster, tables: Sequence[str]) -> dict[str, frozenset[str]]:
    """Node -> the shards of those tables that are among its own tables, read on its leader.

    A node that lets nobody in is left out.
    """
    found = {}
    for node, where in leaders_of_nodes(cluster).items():
        with suppress(ConnectFailed), sql.session(where) as session:
            sql.execute(session, _UNHIDE)
            found[node] = frozenset(shard for shard, _ in sql.rows(session, _HELD, _named(tables)))
    return found


def _named(tables: Sequence[str]) -> list[list[str]]:
    """Tables as they are called, and as SQL takes their names."""
    return [list(tables), [quoted(table) for table in tables]]


def sizes(where: sql.Endpoint | sql.Session, tables: Sequence[str]) -> dict[int, int | None]:
    """Shard -> its size in bytes with its indexes; None where Citus cannot tell."""
    return dict(sql.rows(where, _SIZES, _named(tables)))


def hashes(where: sql.Endpoint | sql.Session, values: Collection[str]) -> dict[str, int]:
    """What PostgreSQL itself, without Citus, hashes texts to."""
    return dict(sql.rows(where, _HASHES, [list(values)]))


def rows_by_shard(cluster: Cluster, namespaces: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Namespace -> node and shard of each entry of it, read in every shard of entries that each node has itself."""
    entries = cluster.profile.entries
    found: dict[str, list[tuple[str, str]]] = {namespace: [] for namespace in namespaces}
    for node, where in leaders_of_nodes(cluster).items():
        with sql.session(where) as session:
            sql.execute(session, _UNHIDE)
            shards = sorted(sql.rows(session, _HELD, _named([entries.table])))
            every = " UNION ALL ".join(
                f"SELECT {quoted(entries.namespace)} AS namespace, '{shard}' FROM {schema}.{quoted(shard)}"
                for shard, schema in shards
            )
            statement = f"SELECT * FROM ({every}) AS held WHERE namespace = ANY (%s)"
            for namespace, shard in sql.rows(session, statement, [list(namespaces)]) if shards else ():
                found[namespace].append((node, shard))
    return found
