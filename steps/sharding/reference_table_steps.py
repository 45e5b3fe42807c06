"""Reference tables: the copy on each node, and joins with them."""

from behave import given, then, when

from support import sql
from support.engine.world import Context
from support.sharding import queries, reference_copies, shards
from support.sharding.checks import Compared, nothing_moves
from support.sharding.copy_checks import copies_agree
from support.sharding.handover import QueryHandover
from support.sharding.placement_checks import each_holds
from support.sharding.plans import plan_of
from support.sharding.queries import reference_key, store_reference_row

_ROWS = 20
_UPDATE = "UPDATE {reference} SET {reference.note} = %s WHERE {reference.key} = ANY (%s)"
_DELETE = "DELETE FROM {reference} WHERE {reference.key} = ANY (%s)"


@when("rows of a reference table are inserted, updated and deleted")
def step_change_reference(context: Context) -> None:
    """Through the write endpoint; every change is acknowledged."""
    world = context.world
    keys = [reference_key(world.namespace, str(number)) for number in range(_ROWS)]
    with sql.session(world.cluster.write) as session:
        for number in range(_ROWS):
            store_reference_row(session, world.profile, world.namespace, str(number), number, "new")
        sql.execute(session, world.profile.sql(_UPDATE), ["changed", keys[1::5]])
        sql.execute(session, world.profile.sql(_DELETE), [keys[2::5]])
    left = [number for number in range(_ROWS) if number % 5 != 2]
    rows = [(keys[number], number, "changed" if number % 5 == 1 else "new") for number in left]
    world.handover(QueryHandover).reference_rows = rows


@then("the copy on each node is up to date, read there at once")
def step_each_node_holds(context: Context) -> None:
    """Read on the leader of each group, the coordinator's too, in its own copy; nobody waits."""
    world, reference = context.world, context.world.profile.reference
    assert reference is not None
    found = shards.rows_on_nodes(world.cluster, reference, ("key", "number", "note"), [world.namespace])
    for node, rows in found.items():
        world.measure(f"rows on {node}", len(rows), "")
    each_holds(world.handover(QueryHandover).reference_rows, found).require()


@then("all copies of each reference table hold the same rows")
def step_copies_agree(context: Context) -> None:
    """Every reference table that the application may read, its own included, in every column, on the leader of each
    node. Rows that are being changed meanwhile are read again."""
    world = context.world
    readings = reference_copies.settled(world.cluster, world.timing.notice)
    last = readings[-1].copies
    world.measure("reference tables compared", len(last), "")
    world.measure("rows of them", sum(max(copy.rows for copy in one.values()) for one in last.values() if one), "")
    copies_agree(readings).require()


@given("a reference table with a row for each of their topics")
def step_topics(context: Context) -> None:
    """Each with a number of its own; stored through the write endpoint."""
    world, handover = context.world, context.world.handover(QueryHandover)
    topics = sorted({one.metadata["topic"] for one in handover.entries})
    handover.topics = {topic: number for number, topic in enumerate(topics, 2)}
    with sql.session(world.cluster.write) as session:
        for topic, number in handover.topics.items():
            store_reference_row(session, world.profile, world.namespace, topic, number, "topic")


@when("the entries are joined with it")
def step_join(context: Context) -> None:
    """In one query over all shards, grouped by topic and namespace; its plan is requested, too."""
    world, handover = context.world, context.world.handover(QueryHandover)
    statement, own = world.profile.sql(queries.JOIN_REFERENCE), {"own": world.namespace}
    right = queries.joined_with_reference(handover.entries, world.namespace, handover.topics)
    with sql.session(world.cluster.write) as session:
        found = sql.rows(session, statement, own)
        handover.answers = [Compared("entries joined with their topics", right, found)]
        handover.plan = plan_of(session, statement, own)


@then("the join is one task for each shard, and no rows are moved first")
def step_no_rows_moved(context: Context) -> None:
    """By the plan: no repartition, no subplan, and as many tasks as the table has shards."""
    world, plan = context.world, context.world.handover(QueryHandover).plan
    count = len({one.shard for one in shards.placements(world.cluster.write, (world.profile.entries.table,))})
    world.measure("tasks of the join", plan.count, "", count)
    found = nothing_moves(plan.count, plan.moves, count)
    nodes = ", ".join(sorted({task.node for task in plan.tasks}))
    world.evidence.attach("plan of the join", f"{found.words}; on {nodes}")
    found.require()
