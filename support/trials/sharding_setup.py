"""How a sharded cluster is set up: versions, workers, and which table is kept how."""

from support.application.profile import Profile
from support.checkers.finding import Finding
from support.checkers.table import Table, alike, as_tabled
from support.checkers.whereabouts import each_holds
from support.cluster import node_health, nodes, shards
from support.cluster.rollcall import Silent, ask_each
from support.cluster.shard_contents import COORDINATOR, leaders_of_nodes, name
from support.errors import NotAvailable
from support.world import World

_READY = dict.fromkeys(("active", "takes shards", "has the metadata"), "yes")


def workers_of(world: World) -> list[str]:
    """The worker groups. Raises NotAvailable where there is none: then nothing is spread over any."""
    if not (found := node_health.expected_workers(world.cluster)):
        raise NotAvailable("the cluster has no worker group: all shards are on the coordinator")
    return found


def require_same_version(world: World) -> None:
    """The coordinator and every worker run one version of Citus, and their databases are of that version."""
    found = node_health.versions(world.cluster)
    world.evidence.attach_json("versions of Citus", {node: str(version) for node, version in found.items()})
    wanted = alike([COORDINATOR, *workers_of(world)], {"Citus": str(found[COORDINATOR])})
    silent = [f"{node}: {answer}" for node, answer in found.items() if isinstance(answer, Silent)]
    Finding(not silent, "; ".join(silent) or "every node answers").require()
    as_tabled(wanted, {node: {"Citus": str(version)} for node, version in found.items()}).require()


def require_workers_ready(world: World) -> None:
    """Each worker group has a node that is active, takes shards, and knows the metadata; all that are declared."""
    found = {
        name(node.group): dict(
            zip(_READY, map(_word, (node.active, node.takes_shards, node.knows_metadata)), strict=True)
        )
        for node in nodes.known_to(world.cluster.write)
        if node.group
    }
    world.evidence.attach_json("worker groups", found)
    if (declared := world.cluster.topology.expectations.workers) is not None:
        told = f"worker groups were declared ([expect] workers = {declared}), and Citus knows {len(found)}"
        Finding(len(found) == declared, f"{told}: {', '.join(found) or 'none'}").require()
    as_tabled(alike(workers_of(world), _READY), found).require()


def require_all_reachable(world: World) -> None:
    """Each node has just reached each node, itself too."""
    everyone = node_health.expected_nodes(world.cluster)
    found = node_health.reaching(world.cluster)
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
    found = ask_each(leaders, lambda node: _described(shards.sharding_of(leaders[node], list(wanted)), wanted))
    for node, described in found.items():
        known = {node: described.row} if isinstance(described, Silent) else described
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
    each_holds(
        copies, {node: sorted(found.get(node, ())) for node in node_health.expected_nodes(world.cluster)}
    ).require()


def _described(found: dict[str, shards.Sharding], wanted: Table) -> Table:
    first = {one.family: table for table, one in reversed(found.items())}
    rows = {
        table: {"kind": one.kind, "distributed by": one.column, "lies with": first[one.family]}
        for table, one in found.items()
    }
    return {table: {column: rows[table][column] for column in wanted[table]} for table in wanted}


def _word(true: bool) -> str:
    return "yes" if true else "no"
