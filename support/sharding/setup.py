"""How a sharded cluster is set up: versions of Citus, which node reaches which, and how each table is kept.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html#citus-check-cluster-node-health
"""

from collections.abc import Mapping

import psycopg2.errors

from support import sql
from support.engine.finding import Finding, listed
from support.engine.tables import Table, alike, as_tabled
from support.engine.world import World
from support.errors import Inconclusive, NotAvailable
from support.sharding import shards
from support.sharding.shards import Sharding
from support.target import citus
from support.target.citus import node_leaders, node_name
from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_in_parallel, heard_and_silent
from support.target.topology import Address
from support.timeouts import STATEMENT

_VERSION = """
    SELECT extversion, substring(citus_version() FROM '^Citus ([^ ]+)') FROM pg_extension WHERE extname = 'citus'
"""
_REACHES = """
    SELECT from_nodename, from_nodeport, to_nodename, to_nodeport, coalesce(result, false)
      FROM citus_check_cluster_node_health()
"""
_PATIENCE = "SELECT setting::numeric / 1000 FROM pg_settings WHERE name = 'citus.node_connection_timeout'"
_LONGEST = 300.0  # seconds that all connections between nodes may take to be tried
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
    """Node -> other node -> "reached" or "not reached", as the nodes themselves tried it just now.

    Citus tries one connection after another. Each for which nothing answers, as behind a firewall that drops packets,
    takes the whole of citus.node_connection_timeout: 30 seconds by default. Raises AssertionError if they were not all
    tried in five minutes.
    """
    names = {node.address: node_name(node.group) for node in citus.known_to(cluster.write)}
    each = float(sql.value(cluster.write, _PATIENCE))
    longest = min(STATEMENT + each * len(names) ** 2, _LONGEST)
    found: dict[str, dict[str, str]] = {}
    try:
        with sql.session(cluster.write, statement_timeout=longest) as session:
            tried = sql.rows(session, _REACHES)
    except psycopg2.errors.QueryCanceled as error:
        untold = f"not all connections among {listed(sorted(names.values()))} could be tried in {longest:g} s"
        raise AssertionError(f"{untold}: at least one gets no answer") from error
    for from_host, from_port, to_host, to_port, reached in tried:
        one, other = (names[Address(*place)] for place in ((from_host, from_port), (to_host, to_port)))
        found.setdefault(one, {})[other] = "reached" if reached else "not reached"
    return found


def declared_distribution(cluster: Cluster) -> Table:
    """How the profile wants each distributed table to be kept; optional tables that do not exist are left out.

    "co-located with" is wanted only where the profile names a table: by default Citus co-locates all tables with
    distribution columns of the same type, whether or not they are ever joined.
    """
    wanted = {}
    for table in shards.meant_to_be_distributed(cluster):
        expected = cluster.profile.tables[table]
        wanted[table] = {"kind": "distributed", "distributed by": str(expected.distributed_by)}
        if expected.colocated_with:
            wanted[table]["co-located with"] = expected.colocated_with
    return wanted


def declared_references(cluster: Cluster) -> Table:
    """The tables that the profile wants on every node; optional ones that do not exist are left out."""
    return alike(shards.meant_to_be_references(cluster), {"kind": "reference"})


def require_kept_on_each_node(world: World, wanted: Table) -> None:
    """Each node knows every table of `wanted` as it should be kept, read on the node's leader.

    The tables are those that the write endpoint finds by these names, whatever the search_path on the node is.
    A worker that is given no metadata is not asked: that it should have them is judged by itself (CS-02).
    Raises Inconclusive if a node gives no answer, and no other knows them otherwise.
    """
    if not wanted:
        raise NotAvailable(f"there is no such table of schema profile {world.profile.name}")
    world.evidence.attach_json("how each table should be kept", wanted)
    given = citus.with_metadata(world.cluster)
    leaders = {node: where for node, where in node_leaders(world.cluster).items() if node in given}
    asked = shards.qualified(world.cluster.write, list(dict.fromkeys([*wanted, *_partners(wanted)])))

    def kept(node: str) -> Table:
        try:
            return described(shards.sharding_of_qualified(leaders[node], asked), wanted)
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


def _partners(wanted: Table) -> list[str]:
    """The tables with which others should be co-located."""
    return [row["co-located with"] for row in wanted.values() if "co-located with" in row]


def described(found: Mapping[str, Sharding], wanted: Table) -> Table:
    """How the tables are kept, in the columns that are wanted of each; a table that is missing is said to be.

    `found` includes the tables with which others should be co-located.
    """

    def row(table: str) -> dict[str, str]:
        one = found[table]
        if one.kind == "missing":
            return {"answer": "there is no such table"}
        cells = {"kind": one.kind, "distributed by": one.column}
        if partner := wanted[table].get("co-located with"):
            cells["co-located with"] = _co_located(found, table, partner)
        return {column: cells[column] for column in wanted[table]}

    return {table: row(table) for table in wanted}


def _co_located(found: Mapping[str, Sharding], table: str, wanted: str) -> str:
    """The table that is wanted if this one is co-located with it, else another one that is, in the order of `found`."""
    group = found[table].colocation
    others = [name for name, one in found.items() if group and one.colocation == group and name != table]
    if wanted in others or (wanted == table and group):
        return wanted
    return next(iter(others), "none of these tables")
