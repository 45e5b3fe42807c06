"""Where shards and rows are, and that a query for one namespace goes to its shard only."""

from behave import given, then, when

from support import sql
from support.engine.finding import Finding
from support.engine.world import Context, World
from support.errors import Inconclusive, NotInTime
from support.example_app.entries import Entry
from support.sharding import placement_checks as checks
from support.sharding import shard_map, shards
from support.sharding.handover import QueryHandover
from support.sharding.placement_checks import of_hash
from support.sharding.plans import node_names, of_wholes, plan_of
from support.sharding.shards import namespaces_over_workers, nodes_for_shards
from support.target import citus
from support.target.citus import node_name
from support.target.members import NO_ANSWER
from support.timeouts import VISIBLE
from support.waiting import eventually

_ONE_NAMESPACE = "SELECT count(*) FROM {entries} WHERE {entries.namespace} = %s"
_FILL = """
    INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also})
    SELECT 'namespace-' || number %% %s, number::text, repeat(md5(number::text), 4){entries.filling}
      FROM generate_series(1, %s) number
"""


@then("each distributed table has {count:d} shards, spread over all workers to within {percent:g} percent")
def step_evenly_spread(context: Context, count: int, percent: float) -> None:
    """Every table that should be distributed; a coordinator that takes shards counts too. A map is attached."""
    world, nodes = context.world, nodes_for_shards(context.world.cluster)
    tables = shards.meant_to_be_distributed(world.cluster)
    found = shards.placements(world.cluster.write, tables)
    for node in nodes:
        world.measure(f"shards on {node}", sum(one.node == node for one in found), "")
    shard_map.attach(world.evidence, "shards of the application's tables", {"now": found})
    spread = world.limit(percent, "spread")
    checks.evenly_spread(found, int(world.limit(count, "shards")), nodes, spread, tables=tables).require()


@then("each shard is on the node that the coordinator lists for it, and on no other")
def step_each_on_one_node(context: Context) -> None:
    """One active placement each, of every table that is distributed or should be; read among the own tables of the
    leader of each group.

    Citus is given time to remove what a move has left behind, as it does at an interval. What is still left then is no
    evidence if it is on Citus' own list.
    """
    cluster, meant = context.world.cluster, shards.meant_to_be_distributed(context.world.cluster)

    def settled() -> Finding:
        # anew each time: an application may drop its oldest partition meanwhile
        tables = (*meant, *shards.distributed_besides(cluster.write, meant))
        known, held = shards.placements(cluster.write, tables), shards.held_on_nodes(cluster, tables)
        unused = shards.to_be_removed(cluster.write)
        found = checks.each_on_one_live_node(known, held, tables=tables, to_be_removed=unused)
        found.require()
        return found

    try:
        finding = eventually(
            settled,
            within=context.world.timing.wait(VISIBLE + shards.removed_within(cluster.write)),
            subject="each shard is on the one node where it belongs",
            retry_on=(*NO_ANSWER, Inconclusive),
        )
    except NotInTime as late:
        if isinstance(late.__cause__, Inconclusive):
            raise late.__cause__ from None
        raise
    context.world.evidence.attach("shards found on each node", finding.words)


@when("an entry is stored in each of {count:d} namespaces")
def step_store_one_each(context: Context, count: int) -> None:
    """Through the write endpoint; the namespaces are on all workers in turn."""
    world = context.world
    entries = [Entry(name, "entry", f"of {name}") for name in namespaces_over_workers(world, count)]
    world.handover(QueryHandover).entries = entries
    world.entries.add_many(entries)


@then("each is in the shard that its namespace hashes to and in no other, read on the workers")
def step_where_it_hashes(context: Context) -> None:
    """By PostgreSQL's own hash function and the hash ranges of the shards; read in every shard of every node.

    The coordinator's own function for the same must agree.
    """
    world, expected = context.world, _by_hash(context.world)
    with sql.session(world.cluster.write) as session:
        homes = {one: node_name(citus.home(session, world.profile.entries.table, one)) for one in expected}
    astray = [one for one, places in expected.items() if [node for node, _ in places] != [homes[one]]]
    Finding(not astray, f"the coordinator would look for {astray} elsewhere than where they hash to").require()
    finding = checks.each_where_it_hashes(expected, shards.rows_by_shard(world.cluster, list(expected)))
    world.evidence.attach("entries found in the shards of each node", finding.words)
    finding.require()


@then("a query for one of the namespaces is a single task, on the node and the shard that hold it")
def step_one_task(context: Context) -> None:
    """By the plan of such a query for each of the namespaces; a shard of a partition counts as that of its table."""
    world, expected = context.world, _by_hash(context.world)
    names = node_names(world.cluster.write)
    with sql.session(world.cluster.write) as session:
        wholes = shards.whole_shards(session, (world.profile.entries.table,))
        statement = world.profile.sql(_ONE_NAMESPACE)
        plans = {one: of_wholes(plan_of(session, statement, [one]), wholes) for one in expected}
    most = max(plan.count for plan in plans.values())
    world.measure("tasks of a query for one namespace, at most", most, "", 1)
    Finding(most == 1, f"a query for one namespace is {most} tasks").require()
    asked = {
        one: [(names[task.node], shard) for task in plan.tasks for shard in task.tables] for one, plan in plans.items()
    }
    checks.each_where_it_hashes(expected, asked).require()


def _by_hash(world: World) -> dict[str, list[tuple[str, str]]]:
    """Namespace -> node and shard in which its entries should be."""
    names = [one.namespace for one in world.handover(QueryHandover).entries]
    table = world.profile.entries.table
    known = shards.placements(world.cluster.write, [table])  # whether or not a [schema] says that it is sharded
    hashed = shards.hashes(world.cluster.write, names)
    return {one: [(at.node, at.name) for at in of_hash(known, table, hashed[one])] for one in names}


@given("{entries:d} entries over {namespaces:d} namespaces, in a separate table sharded like the application's")
def step_own_table(context: Context, entries: int, namespaces: int) -> None:
    """A copy of the table of entries, which is dropped at the end."""
    world, own = context.world, context.world.profile.entries
    count = shards.shard_count(world.cluster)
    copies = world.handover(QueryHandover).copies = shards.own_copies(world, [own], count)
    sql.execute(copies.write, copies.profile.sql(_FILL), [namespaces, entries])


@then("the size of every shard of the application's tables is known")
def step_sizes_known(context: Context) -> None:
    """As Citus reports it, with indexes."""
    cluster = context.world.cluster
    tables = shards.meant_to_be_distributed(cluster)
    of_no_table = [table for table in tables if not shards.sizes(cluster.write, (table,))]
    Finding(not of_no_table, f"not distributed: {', '.join(of_no_table)}").require()
    found = shards.sizes(cluster.write, tables)
    if not found:
        raise Inconclusive("no shard is known")
    unknown = [shard for shard, size in found.items() if size is None]
    Finding(not unknown, f"the sizes of {len(unknown)} of {len(found)} shards are not known: {unknown[:5]}").require()


@then("no shard of that table is larger than {times:g} times the mean")
def step_sizes_even(context: Context, times: float) -> None:
    """As Citus reports the sizes, with indexes."""
    world, copies = context.world, context.world.handover(QueryHandover).copies
    limit, found = world.limit(times, "largest"), shards.sizes(copies.write, (copies.profile.entries.table,))
    known = [size for size in found.values() if size]
    if known:
        world.measure("the largest shard, of the mean", max(known) * len(found) / sum(known), "times", limit)
    checks.none_too_large(found, limit).require()
