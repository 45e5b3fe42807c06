"""Whether the nodes of a sharded cluster fit together: versions, and who reaches whom.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html#citus-check-cluster-node-health
"""

from support import sql
from support.cluster import nodes
from support.cluster.cluster import Cluster
from support.cluster.rollcall import Silent, ask_each
from support.cluster.shard_contents import COORDINATOR, leaders_of_nodes, name
from support.cluster.topology import Address

_VERSION = """
    SELECT extversion, substring(citus_version() FROM '^Citus ([^ ]+)') FROM pg_extension WHERE extname = 'citus'
"""
_REACHES = """
    SELECT from_nodename, from_nodeport, to_nodename, to_nodeport, coalesce(result, false)
      FROM citus_check_cluster_node_health()
"""


def versions(cluster: Cluster) -> dict[str, str | Silent]:
    """Node -> the version of Citus in its database and of the library that it runs, read on its leader."""
    leaders = leaders_of_nodes(cluster)

    def version(node: str) -> str:
        found = sql.rows(leaders[node], _VERSION)
        return "{}, library {}".format(*found[0]) if found else "none"

    return ask_each(leaders, version)


def expected_nodes(cluster: Cluster) -> list[str]:
    """The coordinator, where it is a node too, and the worker groups that should be there.

    Patroni makes a node of the coordinator. Elsewhere a cluster may do without: then it has no shard, no copy of a
    reference table, and nobody queries the cluster through another node.
    """
    is_node = cluster.of_group(0).has_patroni or any(node.group == 0 for node in nodes.known_to(cluster.write))
    return [*([COORDINATOR] if is_node else []), *expected_workers(cluster)]


def expected_workers(cluster: Cluster) -> list[str]:
    """The worker groups that should be there: those that are known to have members, or that Citus itself knows."""
    known = {node.group for node in nodes.known_to(cluster.write)}
    return [name(group) for group in sorted({*known, *cluster.topology.groups}) if group]


def reaching(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Node -> other node -> "reached" or "not reached", as the nodes themselves tried it just now."""
    names = {node.address: name(node.group) for node in nodes.known_to(cluster.write)}
    found: dict[str, dict[str, str]] = {}
    for from_host, from_port, to_host, to_port, reached in sql.rows(cluster.write, _REACHES):
        one, other = (names[Address(*place)] for place in ((from_host, from_port), (to_host, to_port)))
        found.setdefault(one, {})[other] = "reached" if reached else "not reached"
    return found
