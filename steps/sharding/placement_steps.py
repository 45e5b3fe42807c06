"""Where shards and rows are, and that queries go there."""

from behave import given, then, when

from support.engine.world import Context
from support.sharding import local_joins, placement


@then("each distributed table has {count:d} shards, spread over all workers to within {share:g} percent")
def step_evenly_spread(context: Context, count: int, share: float) -> None:
    """Every table that should be distributed; the map of their shards is attached."""
    placement.require_evenly_spread(context.world, count, share)


@then("each shard is on the node that the coordinator names, and on no other")
def step_each_on_one_node(context: Context) -> None:
    """One active placement each; looked for among the own tables of the leader of each group."""
    placement.require_each_on_one_live_node(context.world)


@when("an entry is stored in each of {count:d} namespaces")
def step_store_one_each(context: Context, count: int) -> None:
    """Through the write endpoint, in namespaces of all workers in turn."""
    placement.store_one_each(context.world, count)


@then("each is in the one shard that its namespace hashes to, read on the workers")
def step_where_it_hashes(context: Context) -> None:
    """By PostgreSQL's own hash function and the ranges of the shards; read in every shard of every node."""
    placement.require_where_it_hashes(context.world)


@then("a query for any one of the namespaces is a single task, where that lies")
def step_one_task(context: Context) -> None:
    """By the plan for each of them."""
    placement.require_one_task_each(context.world)


@given("a pattern for each topic in each of these namespaces")
def step_patterns(context: Context) -> None:
    """In the table of patterns, through the write endpoint."""
    local_joins.store_patterns(context.world)


@when("the entries of all namespaces are joined with their patterns")
def step_join_all(context: Context) -> None:
    """In one query over all shards, joined on the namespace; its plan is asked for, too."""
    local_joins.join_all(context.world)


@then("each task joins two shards that lie together, and nothing is moved before")
def step_joined_in_place(context: Context) -> None:
    """By the plan: no repartition, no subplan, a task for each pair of shards, on the node that has both."""
    local_joins.require_joined_in_place(context.world)


@given(
    "{entries:d} entries over {namespaces:d} namespaces, in a table of their own that is sharded as the application's"
)
def step_own_table(context: Context, entries: int, namespaces: int) -> None:
    """A copy of the table of entries, which is dropped at the end."""
    placement.fill_own_tables(context.world, entries, namespaces)


@then("the size of every shard of the application's tables is known")
def step_sizes_known(context: Context) -> None:
    """By Citus, with its indexes."""
    placement.require_sizes_known(context.world)


@then("no shard of that table is more than {times:g} times as large as the mean")
def step_sizes_even(context: Context, times: float) -> None:
    """By Citus, with their indexes."""
    placement.require_sizes_even(context.world, context.world.limit(times))


@when("the entries of one namespace are joined with its patterns, {times:d} times")
def step_join_one(context: Context, times: int) -> None:
    """Of another namespace each time, over one session through the write endpoint, after some that are not counted."""
    local_joins.join_in_one_namespace(context.world, times)


@when("the entries of all shards are summed up by topic, {times:d} times")
def step_ask_all_shards(context: Context, times: int) -> None:
    """Over one session through the write endpoint, after some that are not counted."""
    local_joins.ask_all_shards(context.world, times)


@then("every {operation} was answered right")
def step_answered_right(context: Context, operation: str) -> None:
    """Row for row as worked out from what was stored; a wrong answer is no answer, however fast."""
    local_joins.require_right(context.world, operation)


@then("every worker had a part in it")
def step_every_worker(context: Context) -> None:
    """By the plan: a task for each shard, and some of them on each worker."""
    local_joins.require_tasks_on_every_worker(context.world)
