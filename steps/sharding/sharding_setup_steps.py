"""How a sharded cluster is set up: versions, workers, and how each table is kept."""

from behave import then

from support.engine.finding import Finding
from support.engine.tables import alike, all_answer_as_tabled, as_tabled
from support.engine.world import Context
from support.errors import Inconclusive, NotAvailable
from support.sharding import placement_checks as checks
from support.sharding import setup, shard_indexes, shards
from support.sharding.placement_checks import each_holds
from support.sharding.shards import workers_of
from support.target.citus import COORDINATOR, expected_nodes, known_to, node_leaders, node_name
from support.target.members import NO_ANSWER, NoAnswer, heard_and_silent
from support.timeouts import VISIBLE
from support.waiting import eventually

_READY = dict.fromkeys(("active", "takes shards", "has the metadata"), "yes")


@then("the coordinator and every worker have the same version of Citus, in the database and as a library")
def step_same_version(context: Context) -> None:
    """Asked of the leader of each group, past the coordinator."""
    world, found = context.world, setup.versions(context.world.cluster)
    world.evidence.attach_json("versions of Citus", {node: str(answer) for node, answer in found.items()})
    rows = {node: answer if isinstance(answer, NoAnswer) else {"Citus": answer} for node, answer in found.items()}
    first = next((row for row in rows.values() if not isinstance(row, NoAnswer)), {"Citus": "some version"})
    all_answer_as_tabled(alike([COORDINATOR, *workers_of(world.cluster)], first), rows).require()


@then("every worker group is active, takes shards, and has the metadata")
def step_workers_ready(context: Context) -> None:
    """Every group that should be there, by the coordinator's list of nodes.

    After a failover of any group all metadata are synchronized anew, which is given a moment.
    """
    world, cluster = context.world, context.world.cluster
    workers = [node_name(node.group) for node in known_to(cluster.write) if node.group]
    if (declared := cluster.topology.expectations.workers) is not None:
        told = f"worker groups were declared ([expect] workers = {declared}), and Citus knows {len(workers)}"
        Finding(len(workers) == declared, f"{told}: {', '.join(workers) or 'none'}").require()
    found: dict[str, dict[str, str]] = {}

    def ready() -> None:
        nodes = [node for node in known_to(cluster.write) if node.group]
        states = {node_name(node.group): (node.active, node.takes_shards, node.knows_metadata) for node in nodes}
        found.clear()
        for worker, state in states.items():
            found[worker] = {column: "yes" if true else "no" for column, true in zip(_READY, state, strict=True)}
        as_tabled(alike(workers_of(cluster), _READY), found).require()

    try:
        eventually(ready, within=world.timing.notice, subject="every worker takes part", retry_on=NO_ANSWER)
    finally:
        world.evidence.attach_json("worker groups", found)


@then("every node reaches every other")
def step_all_reachable(context: Context) -> None:
    """The coordinator and each worker group, from each to each and to itself, tried just now."""
    nodes = expected_nodes(context.world.cluster)
    wanted = alike(nodes, dict.fromkeys(nodes, "reached"))
    as_tabled(wanted, setup.reaching(context.world.cluster)).require()


@then("each replica that may lead next reaches the nodes of the other groups, and their leaders reach it")
def step_next_leaders_reachable(context: Context) -> None:
    """As Citus does it, tried just now: by their addresses, passwords and rules of pg_hba.conf.

    Whether leaders reach a replica is tried where Citus will know it by its own address, and logs in to all nodes
    alike; a superuser sees that (pg_dist_authinfo, pg_dist_poolinfo).
    """
    wanted, found = setup.reaching_after_failover(context.world.cluster)
    told = {one: str(answer) if isinstance(answer, NoAnswer) else answer for one, answer in found.items()}
    context.world.evidence.attach_json("who reaches whom", told)
    all_answer_as_tabled(wanted, found).require()


@then("on every node the distributed tables of the application's schema are distributed as declared")
def step_distributed_as_declared(context: Context) -> None:
    """By the schema profile: the distribution column, and the table that a table should be co-located with, if any."""
    setup.require_kept_on_each_node(context.world, setup.declared_distribution(context.world.cluster))


@then("on every node the reference tables of the application's schema are reference tables")
def step_references_as_declared(context: Context) -> None:
    """By the schema profile."""
    setup.require_kept_on_each_node(context.world, setup.declared_references(context.world.cluster))


@then("each node has a copy of every reference table, read there")
def step_copy_on_each_node(context: Context) -> None:
    """Among the own tables of the leader of each group, the coordinator's too."""
    cluster, tables = context.world.cluster, shards.meant_to_be_references(context.world.cluster)
    copies = sorted({one.name for one in shards.placements(cluster.write, tables)})
    found = shards.held_on_nodes(cluster, tables)
    Finding(len(copies) == len(tables), f"{len(copies)} of {len(tables)} tables are known to Citus").require()
    silent = [node for node in node_leaders(cluster) if node not in found]
    heard = [node for node in expected_nodes(cluster) if node not in silent]
    if heard:
        each_holds(copies, {node: sorted(found.get(node, ())) for node in heard}).require()
    if silent:
        raise Inconclusive(f"no login: {', '.join(silent)}")


@then("every shard has every index of its table")
def step_shards_have_indexes(context: Context) -> None:
    """Valid ones, over the same columns, with the same operators and the same condition; unique if the table's is.

    Of each table that the schema profile names and of each of its partitions, distributed or copied to every node, read
    on the leader of each group. Nor is an index of the table itself left invalid, as Citus leaves it where the build in
    a shard failed. A shard that is being moved is given a moment. An index that is being built or dropped is left out.
    """
    world, cluster = context.world, context.world.cluster
    known = shard_indexes.placed(cluster, cluster.profile.tables)
    meant = shard_indexes.of_tables(cluster.write, sorted({one.table for one in known}))
    if not any(meant.values()):
        raise NotAvailable(f"no table of schema profile {world.profile.name} that Citus keeps has an index")

    in_progress: set[str] = set()  # of all attempts: between two shards, nothing is being built for a moment

    def settled() -> Finding:
        known = shard_indexes.placed(cluster, cluster.profile.tables)
        in_progress.update(shard_indexes.in_progress(cluster, known))
        meant = shard_indexes.of_tables(cluster.write, sorted({one.table for one in known}))
        heard, _ = heard_and_silent(shard_indexes.of_shards(cluster, [one.name for one in known]))
        found = checks.each_has_the_indexes(known, meant, heard, in_progress)
        found.require()
        return found

    finding = eventually(
        settled, within=world.timing.wait(VISIBLE), subject="every shard has its indexes", retry_on=NO_ANSWER
    )
    world.evidence.attach("indexes of shards", finding.words)


@then("no shard of the application's tables is unlogged")
def step_shards_logged(context: Context) -> None:
    """Of each table that the schema profile names and of each of its partitions, distributed or copied to every node,
    read on the leader of each group.

    Tables whose rows may be lost by the schema profile (`unlogged`) are left out.
    """
    world, cluster = context.world, context.world.cluster
    needed = [name for name, expected in cluster.profile.tables.items() if not expected.unlogged]
    known = shard_indexes.placed(cluster, needed)
    heard, _ = heard_and_silent(shard_indexes.unlogged(cluster, [one.name for one in known]))
    finding = checks.none_is_unlogged(known, heard)
    world.evidence.attach("unlogged shards", finding.words)
    finding.require()
