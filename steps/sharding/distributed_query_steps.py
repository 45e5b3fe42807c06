"""Queries over rows that lie on several workers."""

from behave import given, then, when

from support.engine.world import Context
from support.example_app import samples
from support.sharding import questions, spreading
from support.sharding.checks import each_shard_by_index
from support.sharding.spreading import search_every_shard


@given("{count:d} entries over {namespaces:d} namespaces, on more than one worker")
def step_spread_entries(context: Context, count: int, namespaces: int) -> None:
    """With an embedding each, stored through the write endpoint; looked for on each worker itself."""
    spreading.store_over_workers(context.world, count, namespaces)
    spreading.require_on_several_workers(context.world)


@when("{count:d} entries over {namespaces:d} namespaces are stored")
def step_store_spread(context: Context, count: int, namespaces: int) -> None:
    """In one transaction, through the write endpoint."""
    spreading.store_over_workers(context.world, count, namespaces)


@then("they lie on more than one worker")
def step_on_several_workers(context: Context) -> None:
    """Looked for in the shards that each worker has, read on the leader of each, past the coordinator."""
    spreading.require_on_several_workers(context.world)


@then("all workers together hold each of them, once")
def step_whole_together(context: Context) -> None:
    """The sum of what the workers hold is what was stored, unchanged, read on the leader of each."""
    spreading.require_whole_together(context.world)


@when("they are counted and summed up by topic")
def step_summarize(context: Context) -> None:
    """In one query over all shards: counts, distinct counts, sums, means, the first and the last."""
    questions.summarize(context.world)


@then("every answer is the right one")
def step_answers_right(context: Context) -> None:
    """Row for row the one that is known by other means; the first question that is answered otherwise is shown."""
    questions.require_answers_right(context.world)


@when("the nearest {count:d} entries of all shards are searched for, {times:d} times")
def step_search_all_shards(context: Context, count: int, times: int) -> None:
    """Each time near another entry, over one session through the write endpoint; no namespace is named."""
    world = context.world
    sought = samples.vectors_near(world.random, samples.embeddings(world.scene["entries"]), times)
    searches = world.scene["searches"] = search_every_shard(
        world.cluster.write, world.profile, world.namespace, sought, count
    )
    world.history = searches.history


@then("every shard was searched by its HNSW index for cosine distance")
def step_each_shard_by_index(context: Context) -> None:
    """By the plans of the workers, which are asked for every shard; none is left out."""
    searches = context.world.scene["searches"]
    context.world.evidence.attach("Plan of the search", searches.plan)
    each_shard_by_index(searches.used, searches.shards, searches.cosine_indexes).require()


@given("the same rows in sharded tables, on more than one worker, and in tables that are not")
def step_rows_in_both(context: Context) -> None:
    """Entries, patterns, nodes, edges and a history, over several namespaces; the same in both."""
    questions.store_in_both(context.world)
    spreading.require_on_several_workers(context.world)


@when("{count:d} random queries are put to both")
def step_random_queries(context: Context, count: int) -> None:
    """Filters, joins, groups, windows, subqueries, sorted and cut; seeded by the run."""
    questions.ask_both(context.world, count)
