"""Reference tables: what each node holds of them, and how they are joined."""

from behave import given, then, when

from support.trials import references


@when("rows of a reference table are stored, changed and removed")
def step_change_reference(context):
    """Through the write endpoint, each kind of change acknowledged."""
    references.store_change_remove(context.world)


@then("each node holds what the table should hold, read there at once")
def step_each_node_holds(context):
    """Read on the leader of each group, the coordinator's too, in its own copy; nobody waits."""
    references.require_on_each_node(context.world)


@given("a reference table with a row for each of their topics")
def step_topics(context):
    """Stored through the write endpoint."""
    references.store_topics(context.world)


@when("the entries are joined with it")
def step_join(context):
    """In one query over all shards, grouped by topic and namespace; its plan is asked for, too."""
    references.join(context.world)


@then("the join is one task for each shard, and nothing is moved before")
def step_nothing_moves(context):
    """By the plan: no repartition, no subplan, and as many tasks as the table has shards."""
    references.require_nothing_moved(context.world)
