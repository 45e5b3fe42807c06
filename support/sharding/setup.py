"""How a sharded cluster is set up: versions of Citus, which node reaches which, and how each table is kept.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html#citus-check-cluster-node-health
"""

from collections.abc import Mapping
from dataclasses import dataclass

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
from support.target.members import NoAnswer, addresses_among_members, ask_everyone, ask_in_parallel, heard_and_silent
from support.target.purposes import purposes
from support.target.topology import Address
from support.timeouts import STATEMENT

_VERSION = """
    SELECT extversion, substring(citus_version() FROM '^Citus ([^ ]+)') FROM pg_extension WHERE extname = 'citus'
"""
_REACHES = """
    SELECT from_nodename, from_nodeport, to_nodename, to_nodeport, coalesce(result, false)
      FROM citus_check_cluster_node_health()
"""
_REACHES_EACH = """
    SELECT name, citus_check_connection_to_node(host, port)
      FROM unnest(%s::text[], %s::text[], %s::int[]) AS named (name, host, port)
"""
_LOGINS_ARE_ALIKE = """
    SELECT NOT EXISTS (SELECT FROM pg_dist_authinfo WHERE nodeid > 0) AND NOT EXISTS (SELECT FROM pg_dist_poolinfo)
"""
_PATIENCE = "SELECT setting::numeric / 1000 FROM pg_settings WHERE name = 'citus.node_connection_timeout'"
_LONGEST = 300.0  # seconds that all connections between nodes may take to be tried
_WITHOUT_CITUS = (psycopg2.errors.UndefinedFunction, psycopg2.errors.UndefinedTable)
"""The errors of a server that has no Citus when it is asked about it, which is an answer, too."""
REACHED, NOT_REACHED = "reached", "not reached"


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
        found.setdefault(one, {})[other] = _told(reached)
    return found


def _told(reached: bool) -> str:
    return REACHED if reached else NOT_REACHED


@dataclass(frozen=True)
class NextLeader:
    """A replica that may lead after a failover of its group."""

    member: str
    group: Cluster
    address: Address | None
    """Where Citus has the node of the group once it leads; None where that is not known: the address of the node is not
    the leader's own, but that of a proxy, for example, or the coordinator is no node."""

    @property
    def node(self) -> str:
        """The node that its group is to Citus."""
        return node_name(self.group.group)

    @property
    def name(self) -> str:
        """What messages call it: "pg2 of the coordinator", "w2 of worker group 1"."""
        return f"{self.member} of {self.node}"


def next_leaders(cluster: Cluster, nodes: Mapping[str, Address]) -> list[NextLeader]:
    """The replicas of all groups that may lead, up or down; `nodes` has the address of each node.

    Raises NotYet while a group has no leader, Inconclusive where Patroni does not tell the address of a member.
    """
    found: list[NextLeader] = []
    for group in cluster.groups:
        if not group.has_patroni:
            continue
        addresses, known = addresses_among_members(group), purposes(group)
        leading = {addresses.get(name) for name, one in known.items() if one.leads}
        follows = nodes.get(node_name(group.group)) in leading - {None}
        able = [name for name in group.members if known[name].may_lead and not known[name].leads]
        found += [NextLeader(name, group, addresses[name] if follows else None) for name in able]
    return found


Reaching = dict[str, dict[str, str] | NoAnswer]
"""Server that tried it -> other server -> REACHED or NOT_REACHED."""


def reaching_after_failover(cluster: Cluster) -> tuple[Table, Reaching]:
    """Who should reach whom after a failover, and who does, as the servers themselves tried it just now.

    From each next leader to the nodes of the other groups; and from their leaders to it, if it answers, where Citus
    will know it by its own address, and has no login or pooler for single nodes: these stay with a node that changes
    its address, and only a superuser sees them.
    """
    nodes = {node_name(one.group): one.address for one in citus.known_to(cluster.write) if one.active}
    following = {one.name: one for one in next_leaders(cluster, nodes)}
    to_nodes = {
        name: {node: address for node, address in nodes.items() if node != one.node} for name, one in following.items()
    }
    patience = float(sql.value(cluster.write, _PATIENCE))

    def from_next(name: str) -> dict[str, str]:
        one = following[name]
        return _tried(one.group.of_member(one.member), to_nodes[name], patience)

    found = ask_everyone(cluster, following, from_next)
    up = [following[name] for name in heard_and_silent(found)[0]] if _logins_are_alike(cluster) else []
    leaders = {node: where for node, where in node_leaders(cluster).items() if node in {*nodes, citus.COORDINATOR}}
    to_next = {node: {one.name: one.address for one in up if one.address and one.node != node} for node in leaders}
    trying = [node for node, others in to_next.items() if others]
    found |= ask_everyone(cluster, trying, lambda node: _tried(leaders[node], to_next[node], patience))
    tried = {**to_nodes, **to_next}
    return {one: dict.fromkeys(others, REACHED) for one, others in tried.items() if others}, found


def _tried(where: sql.Endpoint, others: Mapping[str, Address], patience: float) -> dict[str, str]:
    """What that server reaches now; `patience` is the time in seconds for which Citus waits for each of them."""
    places = [list(others), [one.host for one in others.values()], [one.port for one in others.values()]]
    with sql.session(where, statement_timeout=STATEMENT + patience * len(others)) as session:
        return {name: _told(reached) for name, reached in sql.rows(session, _REACHES_EACH, places)}


def _logins_are_alike(cluster: Cluster) -> bool:
    """Whether Citus logs in to all nodes alike; False where that is not shown."""
    try:
        return bool(sql.value(cluster.monitoring_of(cluster.leader()), _LOGINS_ARE_ALIKE))
    except psycopg2.errors.InsufficientPrivilege:
        return False


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
