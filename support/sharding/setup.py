"""How a sharded cluster is set up: versions of Citus, which node reaches which, and how each table is kept.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html#citus-check-cluster-node-health
"""

import psycopg2.errors

from support import sql
from support.engine.finding import Finding
from support.engine.tables import Table, alike, as_tabled
from support.engine.world import World
from support.errors import Inconclusive, NotAvailable
from support.example_app.profile import Profile
from support.sharding.shards import Sharding, sharding_of
from support.target import citus
from support.target.citus import node_leaders, node_name
from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_in_parallel, heard_and_silent
from support.target.topology import Address

_VERSION = """
    SELECT extversion, substring(citus_version() FROM '^Citus ([^ ]+)') FROM pg_extension WHERE extname = 'citus'
"""
_REACHES = """
    SELECT from_nodename, from_nodeport, to_nodename, to_nodeport, coalesce(result, false)
      FROM citus_check_cluster_node_health()
"""
_WITHOUT_CITUS = (psycopg2.errors.UndefinedFunction, psycopg2.errors.UndefinedTable)
"""The errors of a server that has no Citus when it is asked about it, which is an answer, too."""


def versions(cluster: Cluster) -> dict[str, str | NoAnswer]:
    """Node -> the version of Citus in its database and of the library that it runs, read on its leader."""
    leaders = node_leaders(cluster)

    def version(node: str) -> str:
        try:
            found = sql.rows(leaders[node], _VERSION)
        except _WITHOUT_CITUS:
            return "none"
        return "{}, library {}".format(*found[0]) if found else "none"

    return ask_in_parallel(leaders, version)


def reaching(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Node -> other node -> "reached" or "not reached", as the nodes themselves tried it just now."""
    names = {node.address: node_name(node.group) for node in citus.known_to(cluster.write)}
    found: dict[str, dict[str, str]] = {}
    for from_host, from_port, to_host, to_port, reached in sql.rows(cluster.write, _REACHES):
        one, other = (names[Address(*place)] for place in ((from_host, from_port), (to_host, to_port)))
        found.setdefault(one, {})[other] = "reached" if reached else "not reached"
    return found


def declared_distribution(profile: Profile) -> Table:
    """How the profile wants each distributed table to be kept.

    "co-located with" names the first of the tables whose shards are on the same nodes as this table's.
    """
    first: dict[str, str] = {}
    wanted = {}
    for table in profile.distributed():
        expected = profile.tables[table]
        together = expected.colocated_with or table
        wanted[table] = {
            "kind": "distributed",
            "distributed by": str(expected.distributed_by),
            "co-located with": first.setdefault(together, table),
        }
    return wanted


def require_kept_on_each_node(world: World, wanted: Table) -> None:
    """Each node knows every table of `wanted` as it should be kept, read on the node's leader.

    Raises Inconclusive if a node gives no answer, and no other knows them otherwise.
    """
    if not wanted:
        raise NotAvailable(f"schema profile {world.profile.name} has no such table")
    world.evidence.attach_json("how each table should be kept", wanted)
    leaders = node_leaders(world.cluster)

    def kept(node: str) -> Table:
        try:
            return described(sharding_of(leaders[node], list(wanted)), wanted)
        except _WITHOUT_CITUS:
            return alike(wanted, {"answer": "there is no Citus"})

    found = ask_in_parallel(leaders, kept)
    heard, silent = heard_and_silent(found)
    for node, known in heard.items():
        finding = as_tabled(wanted, known)
        Finding(finding.holds, f"as {node} knows them: {finding.words}").require()
    if silent:
        raise Inconclusive("; ".join(f"{node}: no answer ({why})" for node, why in silent.items()))
    world.evidence.attach("asked on", ", ".join(found))


def described(found: dict[str, Sharding], wanted: Table) -> Table:
    """How the tables are kept, in the columns that are wanted of each; a table that is missing is said to be."""
    first = {one.colocation: table for table, one in reversed(found.items())}
    rows = {
        table: {"kind": one.kind, "distributed by": one.column, "co-located with": first[one.colocation]}
        for table, one in found.items()
    }
    return {
        table: {column: rows[table][column] for column in wanted[table]}
        if found[table].kind != "missing"
        else {"answer": "there is no such table"}
        for table in wanted
    }
