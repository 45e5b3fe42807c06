"""What each node of a sharded cluster holds: the rows of the shards that lie there, read there.

A node's shards are found among its own tables, not by what the coordinator believes.
"""

from collections.abc import Sequence
from dataclasses import replace

from support import sql
from support.application.profile import Entries, Reference, columns_of, quoted, relation
from support.cluster import nodes
from support.cluster.cluster import Cluster

COORDINATOR = "the coordinator"
_SCHEMA = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass(%s)"
_UNHIDE = "SET citus.override_table_visibility = off"
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
    found = {0: cluster.write} | {node.group: cluster.at_node(node.address) for node in nodes.known_to(cluster.write)}
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
    registered = {name(node.group) for node in nodes.known_to(cluster.write)}
    return {node: where for node, where in leaders_of_nodes(cluster).items() if node in registered}


def _rows(
    where: sql.Endpoint, schema: str, part: Entries | Reference, columns: Sequence[str], namespaces: Sequence[str]
) -> list[sql.Row]:
    with sql.session(where) as session:
        sql.execute(session, _UNHIDE)
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
