"""Reference tables: what each node holds of them, and how they are joined."""

from behave import given, then, when

from support.engine.world import Context
from support.sharding import references


@when("rows of a reference table are stored, changed and removed")
def step_change_reference(context: Context) -> None:
    """Through the write endpoint, each kind of change acknowledged."""
    references.store_change_remove(context.world)


@then("each node holds what the table should hold, read there at once")
def step_each_node_holds(context: Context) -> None:
    """Read on the leader of each group, the coordinator's too, in its own copy; nobody waits."""
    references.require_on_each_node(context.world)


@given("a reference table with a row for each of their topics")
def step_topics(context: Context) -> None:
    """Stored through the write endpoint."""
    references.store_topics(context.world)


@when("the entries are joined with it")
def step_join(context: Context) -> None:
    """In one query over all shards, grouped by topic and namespace; its plan is asked for, too."""
    references.join(context.world)


@then("the join is one task for each shard, and nothing is moved before")
def step_nothing_moves(context: Context) -> None:
    """By the plan: no repartition, no subplan, and as many tasks as the table has shards."""
    references.require_nothing_moved(context.world)
