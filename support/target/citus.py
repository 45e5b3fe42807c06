"""Citus' nodes: which servers the coordinator, and every other, takes for the groups of workers.

Source: https://docs.citusdata.com/en/v13.0/develop/api_metadata.html (pg_dist_node)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from support import sql
from support.example_app.profile import quoted
from support.target.cluster import Cluster
from support.target.topology import Address
from support.waiting import NotYet

_NODES = """
    SELECT groupid, nodename, nodeport, isactive, shouldhaveshards, hasmetadata AND metadatasynced
      FROM pg_dist_node
     WHERE noderole = 'primary'
     ORDER BY groupid
"""
_HOME = "SELECT groupid FROM pg_dist_placement WHERE shardid = get_shard_id_for_distribution_column(%s, %s)"
_IN_RECOVERY = "SELECT pg_is_in_recovery()"
_LEFT_IN_DOUBT = "SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'citus_%'"
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
    """It plans queries by itself, with the same metadata as the coordinator."""


def known_to(where: sql.Endpoint | sql.Session) -> tuple[Node, ...]:
    """The nodes that a server knows, the coordinator's first."""
    return tuple(
        Node(group, Address(host, port), active, shards, metadata)
        for group, host, port, active, shards, metadata in sql.rows(where, _NODES)
    )


def home(where: sql.Endpoint | sql.Session, table: str, namespace: str) -> int:
    """The group of workers on which what a table has of a namespace lies."""
    return int(sql.value(where, _HOME, [quoted(table), namespace]))


def require_all(cluster: Cluster, leader: str) -> None:
    """The coordinator's leader knows a node of every group, and each has the metadata. Raises NotYet before."""
    nodes = known_to(cluster.administration_of(leader))
    ready = {node.group for node in nodes if node.active and (node.knows_metadata or node.group == 0)}
    if missing := set(cluster.topology.groups) - ready:
        raise NotYet(f"groups {sorted(missing)} are missing; it knows {nodes}")


def require_settled(cluster: Cluster, leaders: Sequence[str]) -> None:
    """What sharding needs to be whole again; `leaders` are those of the groups in their order. Raises NotYet before.

    Every node knows the same nodes, at the leaders' addresses and active; no transaction is in doubt, no placement
    is inactive, and nothing waits to be cleaned up after a move.
    """
    wanted = [cluster.address_of(leader).postgres for leader in leaders]
    for leader in leaders:
        where = cluster.administration_of(leader)
        if sql.value(where, _IN_RECOVERY):  # what is in doubt there does not show yet
            raise NotYet(f"{leader} is in recovery")
        nodes = known_to(where)
        if [node.address for node in nodes] != wanted or not all(node.active for node in nodes):
            raise NotYet(f"{leader} knows the nodes {nodes}")
        for what, statement in (
            ("transactions in doubt", _LEFT_IN_DOUBT),
            ("inactive placements", _INACTIVE),
            ("shards to be removed", _LEFT_TO_CLEAN),
        ):
            if found := sql.rows(where, statement):
                raise NotYet(f"on {leader} there are {what}: {found}")
