"""Whether the nodes of a sharded cluster fit together: versions, and who reaches whom.

Source: https://docs.citusdata.com/en/v13.0/develop/api_udf.html#citus-check-cluster-node-health

How a sharded cluster is set up: versions, workers, and which table is kept how.
"""

from support import sql
from support.engine.finding import Finding
from support.engine.tables import Table, alike, as_tabled
from support.engine.world import World
from support.errors import NotAvailable
from support.example_app.profile import Profile
from support.sharding import shards
from support.sharding.placement_checks import each_holds
from support.sharding.shards import COORDINATOR, leaders_of_nodes, name
from support.target import citus
from support.target.cluster import Cluster
from support.target.members import NoAnswer, ask_in_parallel
from support.target.topology import Address

_VERSION = """
    SELECT extversion, substring(citus_version() FROM '^Citus ([^ ]+)') FROM pg_extension WHERE extname = 'citus'
"""
_REACHES = """
    SELECT from_nodename, from_nodeport, to_nodename, to_nodeport, coalesce(result, false)
      FROM citus_check_cluster_node_health()
"""


def versions(cluster: Cluster) -> dict[str, str | NoAnswer]:
    """Node -> the version of Citus in its database and of the library that it runs, read on its leader."""
    leaders = leaders_of_nodes(cluster)

    def version(node: str) -> str:
        found = sql.rows(leaders[node], _VERSION)
        return "{}, library {}".format(*found[0]) if found else "none"

    return ask_in_parallel(leaders, version)


def expected_nodes(cluster: Cluster) -> list[str]:
    """The coordinator, where it is a node too, and the worker groups that should be there.

    Patroni makes a node of the coordinator. Elsewhere a cluster may do without: then it has no shard, no copy of a
    reference table, and nobody queries the cluster through another node.
    """
    is_node = cluster.of_group(0).has_patroni or any(node.group == 0 for node in citus.known_to(cluster.write))
    return [*([COORDINATOR] if is_node else []), *expected_workers(cluster)]


def expected_workers(cluster: Cluster) -> list[str]:
    """The worker groups that should be there: those that are known to have members, or that Citus itself knows."""
    known = {node.group for node in citus.known_to(cluster.write)}
    return [name(group) for group in sorted({*known, *cluster.topology.groups}) if group]


def reaching(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Node -> other node -> "reached" or "not reached", as the nodes themselves tried it just now."""
    names = {node.address: name(node.group) for node in citus.known_to(cluster.write)}
    found: dict[str, dict[str, str]] = {}
    for from_host, from_port, to_host, to_port, reached in sql.rows(cluster.write, _REACHES):
        one, other = (names[Address(*place)] for place in ((from_host, from_port), (to_host, to_port)))
        found.setdefault(one, {})[other] = "reached" if reached else "not reached"
    return found


_READY = dict.fromkeys(("active", "takes shards", "has the metadata"), "yes")


def workers_of(world: World) -> list[str]:
    """The worker groups. Raises NotAvailable where there is none: then nothing is spread over any."""
    if not (found := expected_workers(world.cluster)):
        raise NotAvailable("the cluster has no worker group: all shards are on the coordinator")
    return found


def require_same_version(world: World) -> None:
    """The coordinator and every worker run one version of Citus, and their databases are of that version."""
    found = versions(world.cluster)
    world.evidence.attach_json("versions of Citus", {node: str(version) for node, version in found.items()})
    wanted = alike([COORDINATOR, *workers_of(world)], {"Citus": str(found[COORDINATOR])})
    silent = [f"{node}: {answer}" for node, answer in found.items() if isinstance(answer, NoAnswer)]
    Finding(not silent, "; ".join(silent) or "every node answers").require()
    as_tabled(wanted, {node: {"Citus": str(version)} for node, version in found.items()}).require()


def require_workers_ready(world: World) -> None:
    """Each worker group has a node that is active, takes shards, and knows the metadata; all that are declared."""
    found = {
        name(node.group): dict(
            zip(_READY, map(_word, (node.active, node.takes_shards, node.knows_metadata)), strict=True)
        )
        for node in citus.known_to(world.cluster.write)
        if node.group
    }
    world.evidence.attach_json("worker groups", found)
    if (declared := world.cluster.topology.expectations.workers) is not None:
        told = f"worker groups were declared ([expect] workers = {declared}), and Citus knows {len(found)}"
        Finding(len(found) == declared, f"{told}: {', '.join(found) or 'none'}").require()
    as_tabled(alike(workers_of(world), _READY), found).require()


def require_all_reachable(world: World) -> None:
    """Each node has just reached each node, itself too."""
    everyone = expected_nodes(world.cluster)
    found = reaching(world.cluster)
    as_tabled(alike(everyone, dict.fromkeys(everyone, "reached")), found).require()


def require_distributed_as_declared(world: World) -> None:
    """Each node knows every table that is to be sharded as such, by the right column, next to its relatives.

    "lies with" names the first of those tables whose shards lie where this one's do.
    """
    _require_kept(world, _distributed(world.profile))


def require_references_as_declared(world: World) -> None:
    """Each node knows every table that is to be a reference table as one."""
    _require_kept(world, {table: {"kind": "reference"} for table in world.profile.references()})


def _distributed(profile: Profile) -> Table:
    """How the tables that Citus is to shard are to be kept; those that lie together are named by the first."""
    first: dict[str, str] = {}
    wanted = {}
    for table in profile.distributed():
        expected = profile.tables[table]
        family = expected.colocated_with or table
        wanted[table] = {
            "kind": "distributed",
            "distributed by": str(expected.distributed_by),
            "lies with": first.setdefault(family, table),
        }
    return wanted


def _require_kept(world: World, wanted: Table) -> None:
    if not wanted:
        raise NotAvailable(f"schema profile {world.profile.name} has no such table")
    world.evidence.attach_json("how each table is to be kept", wanted)
    leaders = leaders_of_nodes(world.cluster)
    found = ask_in_parallel(leaders, lambda node: described(shards.sharding_of(leaders[node], list(wanted)), wanted))
    for node, answer in found.items():
        known = {node: answer.row} if isinstance(answer, NoAnswer) else answer
        finding = as_tabled(wanted, known)
        Finding(finding.holds, f"as {node} knows them: {finding.words}").require()
    world.evidence.attach("asked on", ", ".join(found))


def require_copy_on_each_node(world: World) -> None:
    """Each node has its own copy of every reference table."""
    tables = world.profile.references()
    known = shards.placements(world.cluster.write, tables)
    copies = sorted({one.name for one in known})
    found = shards.held_on_nodes(world.cluster, tables)
    Finding(len(copies) == len(tables), f"{len(copies)} of {len(tables)} tables are known to Citus").require()
    each_holds(copies, {node: sorted(found.get(node, ())) for node in expected_nodes(world.cluster)}).require()


def described(found: dict[str, shards.Sharding], wanted: Table) -> Table:
    """How the tables are kept, in the columns that are wanted of each; of one that is missing, that it is."""
    first = {one.family: table for table, one in reversed(found.items())}
    rows = {
        table: {"kind": one.kind, "distributed by": one.column, "lies with": first[one.family]}
        for table, one in found.items()
    }
    return {
        table: {column: rows[table][column] for column in wanted[table]}
        if found[table].kind != "missing"
        else {"answer": "there is no such table"}
        for table in wanted
    }


def _word(true: bool) -> str:
    return "yes" if true else "no"
