"""Citus' nodes: the servers that the coordinator, and every other node, takes for the groups of the cluster.

Source: https://docs.citusdata.com/en/v13.0/develop/api_metadata.html (pg_dist_node)
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from support import sql
from support.errors import Inconclusive
from support.example_app.profile import quoted
from support.target.cluster import Cluster
from support.target.topology import Address
from support.waiting import NotYet

COORDINATOR = "the coordinator"
_NODES = """
    SELECT groupid, nodename, nodeport, isactive, shouldhaveshards, hasmetadata AND metadatasynced
      FROM pg_dist_node
     WHERE noderole = 'primary'
     ORDER BY groupid
"""
_GIVEN_METADATA = "SELECT groupid FROM pg_dist_node WHERE noderole = 'primary' AND hasmetadata"
_HOME = "SELECT groupid FROM pg_dist_placement WHERE shardid = get_shard_id_for_distribution_column(%s, %s)"
_DISTRIBUTION = """
    SELECT CASE WHEN partmethod = 'h' THEN column_to_column_name(logicalrelid, partkey) END,
           ARRAY (SELECT DISTINCT groupid
                    FROM pg_dist_shard shard JOIN pg_dist_placement USING (shardid)
                   WHERE shard.logicalrelid = part.logicalrelid)
      FROM pg_dist_partition part WHERE logicalrelid = to_regclass(%s)
"""
_HOLDERS = """
    SELECT DISTINCT groupid
      FROM pg_dist_placement JOIN pg_dist_shard USING (shardid)
     WHERE logicalrelid = to_regclass(%s) ORDER BY 1
"""
_HASHED_BY = """
    SELECT column_to_column_name(logicalrelid, partkey)
      FROM pg_dist_partition WHERE logicalrelid = to_regclass(%s) AND partmethod = 'h'
"""
_COPIES = """
    SELECT coalesce(max(copies), 0)
      FROM (SELECT count(*)
              FROM pg_dist_partition JOIN pg_dist_shard USING (logicalrelid) JOIN pg_dist_placement USING (shardid)
             WHERE logicalrelid = to_regclass(%s) AND partmethod = 'h' AND repmodel = 'c'
             GROUP BY shardid) of_shard (copies)
"""
_IS_REFERENCE = """
    SELECT EXISTS (SELECT FROM pg_dist_partition
                    WHERE logicalrelid = to_regclass(%s) AND partmethod = 'n' AND repmodel = 't')
"""
_HOMES = """
    SELECT value, groupid
      FROM unnest(%s::text[]) value
      JOIN pg_dist_placement ON shardid = get_shard_id_for_distribution_column(%s, value)
"""
_IN_RECOVERY = "SELECT pg_is_in_recovery()"
_LEFT_IN_DOUBT = "SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'citus_%' AND database = current_database()"
_LONG_IN_DOUBT = f"{_LEFT_IN_DOUBT} AND prepared < now() - interval '10 seconds'"
_LEFT_TO_CLEAN = "SELECT object_name FROM pg_dist_cleanup WHERE object_type = 1"
_INACTIVE = "SELECT shardid, groupid FROM pg_dist_placement WHERE shardstate <> 1"


@dataclass(frozen=True)
class Node:
    """A row of pg_dist_node: the primary of a group, as one server knows it."""

    group: int
    address: Address
    active: bool
    takes_shards: bool
    knows_metadata: bool
    """Whether it plans queries by itself, with the same metadata as the coordinator."""


def hashed_by(where: sql.Endpoint | sql.Session, table: str) -> str | None:
    """The column by whose hash a table is sharded; None if it is not. `table` is an SQL identifier."""
    found = sql.rows(where, _HASHED_BY, [table])
    return str(found[0][0]) if found else None


def copies_of_shards(where: sql.Endpoint | sql.Session, table: str) -> int:
    """How many copies of each shard there are, of a table that Citus itself replicates (citus.shard_replication_factor
    was more than 1); 0 of any other table. `table` is an SQL identifier."""
    return int(sql.value(where, _COPIES, [table]))


def is_reference(where: sql.Endpoint | sql.Session, table: str) -> bool:
    """Whether a table is a reference table. `table` is an SQL identifier."""
    return bool(sql.value(where, _IS_REFERENCE, [table]))


def known_to(where: sql.Endpoint | sql.Session) -> tuple[Node, ...]:
    """The nodes that a server knows, the coordinator first."""
    return tuple(
        Node(group, Address(host, port), active, shards, metadata)
        for group, host, port, active, shards, metadata in sql.rows(where, _NODES)
    )


def holders(where: sql.Endpoint | sql.Session, table: str) -> tuple[int, ...]:
    """The groups that hold a shard of a table, by the coordinator's metadata."""
    return tuple(group for (group,) in sql.rows(where, _HOLDERS, [quoted(table)]))


_PORTION, _MOST = 200, 20_000  # names per query, and in total


def chosen(
    where: sql.Endpoint | sql.Session, table: str, prefix: str, names: Iterator[str], wanted: Mapping[int, int]
) -> dict[str, int]:
    """Some of the names, in their order, each with the group that holds the rows of the namespace `prefix` + name.

    `wanted` is group -> how many names. Raises Inconclusive if a group holds no shard of the table, or if hardly any of
    very many names belongs there: a shard may be limited to a single tenant.
    """
    if lacking := sorted(wanted.keys() - set(holders(where, table))):
        raise Inconclusive(f"{node_name(lacking[0])} holds no shard of {table}: rebalance first")
    found, counts = dict[str, int](), Counter[int]()
    for _ in range(_MOST // _PORTION):
        portion = list(islice(names, _PORTION))
        at: dict[str, int] = dict(sql.rows(where, _HOMES, [[prefix + name for name in portion], quoted(table)]))
        for name in portion:
            group = at.get(prefix + name, -1)
            if counts[group] < wanted.get(group, 0):
                found[name] = group
                counts[group] += 1
        if counts == wanted:
            return found
    few = ", ".join(node_name(group) for group in sorted(wanted) if counts[group] < wanted[group])
    raise Inconclusive(f"of {_MOST} namespaces, hardly any belongs on {few}: the shards of {table} there are tiny")


def home(where: sql.Endpoint | sql.Session, table: str, namespace: str) -> int:
    """The group that holds the rows of a namespace in this table, by the coordinator's metadata."""
    return int(sql.value(where, _HOME, [quoted(table), namespace]))


def homes(where: sql.Endpoint | sql.Session, table: str, rows: Sequence[Mapping[str, str]]) -> list[frozenset[int]]:
    """For each row, given by some of its columns, the groups that may hold it, by the coordinator's metadata.

    That is one group if the distribution column is given. It is every group with a copy of a reference table, and every
    group with a shard of a table whose distribution column is not given. A table that Citus does not distribute is the
    coordinator's.
    """
    known = sql.rows(where, _DISTRIBUTION, [quoted(table)])
    if not known:
        return [frozenset({0})] * len(rows)
    ((column, groups),) = known
    if not all(column in row for row in rows):
        return [frozenset(groups)] * len(rows)
    values = sorted({row[column] for row in rows})
    found: dict[str, int] = dict(sql.rows(where, _HOMES, [values, quoted(table)]))
    return [frozenset({found[value]} if (value := row[column]) in found else ()) for row in rows]


def node_name(group: int) -> str:
    """What steps and messages call the node of a group: "the coordinator", "worker group 1"."""
    return f"worker group {group}" if group else COORDINATOR


def node_leaders(cluster: Cluster) -> dict[str, sql.Endpoint]:
    """Node name -> the leader of its group, past every proxy.

    Patroni names the leader where the group has Patroni; elsewhere it is at the address that Citus has for the group.
    A coordinator that is not among its own nodes is the server behind the write endpoint.
    """
    found = {0: cluster.write} | {node.group: cluster.at_node(node.address) for node in known_to(cluster.write)}
    found |= {group.group: group.of_member(group.leader()) for group in cluster.groups if group.has_patroni}
    return {node_name(group): replace(found[group], name=node_name(group)) for group in sorted(found)}


def data_node_leaders(cluster: Cluster) -> dict[str, sql.Endpoint]:
    """Node name -> the leader of its group, past every proxy, for the nodes on which Citus keeps data.

    A coordinator that is not among its own nodes is left out. So is a node that is disabled: Citus changes nothing
    there until it is activated again.
    """
    active = {node_name(node.group) for node in known_to(cluster.write) if node.active}
    return {node: where for node, where in node_leaders(cluster).items() if node in active}


def with_metadata(cluster: Cluster) -> frozenset[str]:
    """The coordinator, and the nodes that Citus gives the metadata of all tables, or should have given them by now.

    A worker from which the metadata were removed (stop_metadata_sync_to_node) knows nothing of any table.
    """
    return frozenset([COORDINATOR, *(node_name(group) for (group,) in sql.rows(cluster.write, _GIVEN_METADATA))])


def expected_workers(cluster: Cluster) -> list[str]:
    """The worker groups that should be there: those whose members are known, and those that Citus itself knows."""
    known = {node.group for node in known_to(cluster.write)}
    return [node_name(group) for group in sorted({*known, *cluster.topology.groups}) if group]


def expected_nodes(cluster: Cluster) -> list[str]:
    """The worker groups that should be there, preceded by the coordinator where it is a node, too.

    Patroni registers the coordinator as a node. Other clusters may do without: then it has no shard and no copy of a
    reference table, and nobody queries the cluster through another node.
    """
    is_node = cluster.of_group(0).has_patroni or any(node.group == 0 for node in known_to(cluster.write))
    return [*([COORDINATOR] if is_node else []), *expected_workers(cluster)]


def require_all(cluster: Cluster, leader: str) -> None:
    """The coordinator's leader knows a node of every group, and each has the metadata. Raises NotYet before."""
    nodes = known_to(cluster.administration_of(leader))
    ready = {node.group for node in nodes if node.active and (node.knows_metadata or node.group == 0)}
    if missing := set(cluster.topology.groups) - ready:
        raise NotYet(f"groups {sorted(missing)} are missing; it knows {nodes}")


def require_settled(cluster: Cluster, leaders: Sequence[str], *, doubts: bool = True) -> None:
    """Sharding is whole again; `leaders` are the leaders of the groups, in their order. Raises NotYet before.

    Every node knows the same nodes, at the leaders' addresses and active; no transaction is in doubt, no placement
    is inactive, and no shard is left to be removed after a move. For a user's cluster see `_require_nodes_settled`.
    Whether a transaction is in doubt is not asked without `doubts`.
    """
    if not cluster.topology.embedded:
        _require_nodes_settled(cluster, doubts)
        return
    wanted = [cluster.address_of(leader).postgres for leader in leaders]
    for leader in leaders:
        where = cluster.administration_of(leader)
        if sql.value(where, _IN_RECOVERY):  # transactions in doubt do not show there yet
            raise NotYet(f"{leader} is in recovery")
        nodes = known_to(where)
        if [node.address for node in nodes] != wanted or not all(node.active for node in nodes):
            raise NotYet(f"{leader} knows the nodes {nodes}")
        for what, statement in (
            *([("transactions in doubt", _LEFT_IN_DOUBT)] if doubts else []),
            ("inactive placements", _INACTIVE),
            ("shards to be removed", _LEFT_TO_CLEAN),
        ):
            if found := sql.rows(where, statement):
                raise NotYet(f"on {leader} there are {what}: {found}")


def _require_nodes_settled(cluster: Cluster, doubts: bool) -> None:
    """Sharding is whole again, as far as that can be asked of a user's cluster, on which others may work, too.

    Every node that the coordinator knows is active and has a primary; no transaction is in doubt that was so a while
    ago, and no placement is inactive. Nodes that are not reached from here are left to the coordinator's judgement.
    Raises NotYet before.
    """
    nodes = known_to(cluster.write)
    if inactive := [node_name(node.group) for node in nodes if not node.active]:
        raise NotYet(f"the coordinator considers {', '.join(inactive)} inactive")
    if found := sql.rows(cluster.write, _INACTIVE):
        raise NotYet(f"there are inactive placements: {found}")
    if "nodes" in cluster.topology.lacks:
        return
    for name, where in node_leaders(cluster).items():
        with sql.session(where) as session:
            if sql.value(session, _IN_RECOVERY):
                raise NotYet(f"the leader of {name} is in recovery")
            if doubts and (gids := [gid for (gid,) in sql.rows(session, _LONG_IN_DOUBT)]):
                raise NotYet(f"on {name} there are transactions in doubt: {', '.join(gids)}")
