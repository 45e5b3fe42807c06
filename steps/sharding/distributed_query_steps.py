"""Queries over rows on several workers: their answers, their plans, and joins of co-located shards."""

import time
from collections.abc import Sequence

from behave import given, register_type, then, when

from support import sql
from support.cluster.handover import ClusterHandover
from support.cluster.searching import roomy
from support.engine.checks.answers import every_answer_is, unchanged
from support.engine.finding import Finding
from support.engine.quiet import measure
from support.engine.world import Context, World
from support.errors import NotAvailable
from support.example_app import samples, schema
from support.example_app.entries import Entry, EntryStore
from support.run import new_id
from support.sharding import queries, shards
from support.sharding.checks import Compared, all_agree, each_search_by_index, nothing_moves
from support.sharding.handover import QueryHandover
from support.sharding.placement_checks import joins_co_located, on_several_nodes, together_they_hold
from support.sharding.plans import of_wholes, plan_of, tasks_by_worker
from support.sharding.queries import Question, ask_repeatedly
from support.sharding.random_queries import RandomQueries
from support.sharding.shards import namespaces_over_workers, rows_on_nodes
from support.target import tables
from support.target.cluster import Cluster
from support.vocabulary import Kind
from support.waiting import describe

_ROWS, _NAMESPACES = 120, 12
"""Rows of each table for random queries, and their namespaces: few enough to ask many questions about."""


QUERY = Kind("kind of query", (queries.JOIN, queries.OVER_ALL))
register_type(Query=QUERY)


@given("{count:d} entries over {namespaces:d} namespaces, on more than one worker")
def step_spread_entries(context: Context, count: int, namespaces: int) -> None:
    """With an embedding each, stored through the write endpoint; then read on each worker itself."""
    step_store_spread(context, count, namespaces)
    _require_on_several_workers(context.world)


@when("{count:d} entries over {namespaces:d} namespaces are stored")
def step_store_spread(context: Context, count: int, namespaces: int) -> None:
    """In one transaction, through the write endpoint."""
    world = context.world
    entries = world.handover(QueryHandover).entries = queries.entries_over_workers(world, count, namespaces)
    world.entries.add_many(entries)


@then("they are on more than one worker")
def step_on_several_workers(context: Context) -> None:
    """Read in the shards of each worker, on the leader of its group, past the coordinator."""
    _require_on_several_workers(context.world)


def _require_on_several_workers(world: World) -> None:
    found = rows_on_nodes(world.cluster, world.profile.entries, ("namespace", "key"), world.namespaces)
    for node, rows in found.items():
        world.measure(f"entries on {node}", len(rows), "")
    on_several_nodes(found).require()


@then("the workers together hold each of them exactly once")
def step_whole_together(context: Context) -> None:
    """The sum of what the workers hold is what was stored, unchanged, read on the leader of each."""
    world = context.world
    stored = [(one.namespace, one.key, one.value) for one in world.handover(QueryHandover).entries]
    found = rows_on_nodes(world.cluster, world.profile.entries, ("namespace", "key", "value"), world.namespaces)
    together_they_hold(stored, found).require()


@when("they are counted and summed by topic")
def step_summarize(context: Context) -> None:
    """In one query over all shards: counts, distinct counts, sums, means, the first and the last."""
    world, handover = context.world, context.world.handover(QueryHandover)
    found = sql.rows(world.cluster.write, world.profile.sql(queries.TOTALS_BY_TOPIC), [world.namespace])
    handover.answers = [Compared("entries by topic", queries.totals_by_topic(handover.entries), found)]


@then("every answer is correct")
def step_answers_right(context: Context) -> None:
    """Row for row the answer that is known by other means; the first question with a wrong answer is shown."""
    found = all_agree(context.world.handover(QueryHandover).answers)
    context.world.evidence.attach("answers", found.words)
    found.require()


def searched_table(world: World, entries: Sequence[Entry]) -> Cluster:
    """The cluster with the table that is searched: the application's, or a copy with the same entries if that is full.

    Raises Inconclusive if a copy is needed and cannot be made.
    """
    there = roomy(world)
    if there is not world.cluster:
        EntryStore(there.write, there.profile).add_many(entries)
    return there


@when("the nearest {count:d} entries of all shards are searched for, {times:d} times")
def step_search_all_shards(context: Context, count: int, times: int) -> None:
    """Each time near another entry, over one session through the write endpoint; no namespace is named.

    If the application's table holds many entries of others, an empty copy of it is searched, which gets the same
    entries. What is timed is the search alone: all of them are in one transaction, which has the settings.
    """
    world, handover = context.world, context.world.handover(QueryHandover)
    there = searched_table(world, handover.entries)
    if there is not world.cluster:
        on_several_nodes(rows_on_nodes(there, there.profile.entries, ("namespace", "key"), world.namespaces)).require()
    sought = samples.vectors_near(world.random, samples.embeddings(handover.entries), times)
    state = world.handover(ClusterHandover)
    answers: list[dict[str, str]] = []

    def search() -> None:
        searches = handover.searches = queries.search_every_shard(
            there.write, there.profile, world.namespace, sought, count
        )
        world.history = searches.history
        state.entries, state.answered = handover.entries, searches  # for the steps that judge them
        answers.append({f"search {number}": str(found) for number, (_, found) in enumerate(searches.answers)})

    measure(world, search, lambda: unchanged(answers[0], answers[-1]))


@then("every shard was searched by its HNSW index for cosine distance")
def step_each_shard_by_index(context: Context) -> None:
    """By the plans of the workers, which are requested for every search and every shard; none is left out."""
    searches = context.world.handover(QueryHandover).searches
    context.world.evidence.attach("Plan of the search", searches.plan)
    each_search_by_index(searches.used, searches.shards, searches.cosine_indexes).require()


@given("the same rows in sharded tables, on more than one worker, and in unsharded tables")
def step_rows_in_both(context: Context) -> None:
    """Entries, patterns, nodes, edges and a history, over several namespaces; the same in both."""
    world = context.world
    unsharded = tables.local_tables(world.cluster, f"{world.run.id}_{new_id()}", world.cleanup)
    if why := unsharded.topology.lacks.get("schema"):  # its logins find the sharded tables
        raise NotAvailable(why)
    names = namespaces_over_workers(world, _NAMESPACES)
    rows = samples.related_rows(world.random, world.namespace, names, _ROWS)
    world.cleanup.callback(schema.remove, unsharded.write, unsharded.profile, world.namespaces)
    for cluster in (world.cluster, unsharded):
        samples.store_rows(cluster.write, cluster.profile, rows)
    world.handover(QueryHandover).unsharded = unsharded
    _require_on_several_workers(world)


@when("{count:d} random queries are run on both")
def step_random_queries(context: Context, count: int) -> None:
    """Filters, joins, groups, windows, subqueries, sorts and limits; seeded by the run."""
    world, handover = context.world, context.world.handover(QueryHandover)
    asked = RandomQueries(world.random, world.namespaces[1:]).some(count)
    begun = time.monotonic()
    handover.answers = queries.ask_both(asked, world.cluster, handover.unsharded)
    world.measure(f"{count} queries, asked twice", time.monotonic() - begun, "s")
    world.evidence.attach("the queries", "\n".join(one.question for one in handover.answers))


@given("a pattern for each topic in each of these namespaces")
def step_patterns(context: Context) -> None:
    """In the table of patterns, through the write endpoint."""
    world = context.world
    queries.store_patterns(world.cluster.write, world.profile, world.handover(QueryHandover).entries)


@when("the entries of all namespaces are joined with their patterns")
def step_join_all(context: Context) -> None:
    """In one query over all shards, joined on the namespace; its plan is requested, too.

    Citus refuses a join that needs rows moved, unless it may repartition: here it may, so that the plan shows it.
    """
    world, handover = context.world, context.world.handover(QueryHandover)
    statement, own = world.profile.sql(queries.JOIN_ALL_PATTERNS), {"own": world.namespace}
    repartition = {"citus__enable_repartition_joins": "on"}
    with sql.session(world.cluster.write) as session, sql.settings(session, **repartition):
        try:
            handover.plan = plan_of(session, statement, own)
            found = sql.rows(session, statement, own)
        except sql.Error as error:
            raise AssertionError(f"entries cannot be joined with patterns by namespace: {describe(error)}") from error
    right = queries.joined_with_patterns(handover.entries)
    handover.answers = [Compared("entries joined with patterns, over all shards", right, found)]


@then("each task joins two co-located shards, and no rows are moved first")
def step_joined_in_place(context: Context) -> None:
    """By the plan: no repartition, no subplan, a task for each pair of shards, on the node that has both."""
    world, plan = context.world, context.world.handover(QueryHandover).plan
    entries, related = world.profile.entries, world.profile.related
    assert related is not None
    known = shards.placements(world.cluster.write, (entries.table, related.table))
    nothing_moves(plan.count, plan.moves, sum(one.table == related.table for one in known)).require()
    wholes = shards.whole_shards(world.cluster.write, (entries.table, related.table))
    in_place = joins_co_located(known, [task.tables for task in of_wholes(plan, wholes).tasks])
    world.evidence.attach("tasks of the join", in_place.words)
    in_place.require()
    tasks_by_worker(world, plan)


@when("the entries of one namespace are joined with its patterns, {times:d} times")
def step_join_one(context: Context, times: int) -> None:
    """Another namespace each time, over one session through the write endpoint, after some that are not counted."""
    world, entries = context.world, context.world.handover(QueryHandover).entries
    statement = world.profile.sql(queries.JOIN_PATTERNS_OF_ONE)
    by_namespace = {own: [one for one in entries if one.namespace == own] for own in sorted(world.namespaces)}
    questions = [
        Question(statement, {"own": own}, queries.joined_with_patterns(ones))
        for own, ones in by_namespace.items()
        if ones
    ]
    _measure_questions(world, queries.JOIN, questions, times)


@when("the entries of all shards are summed by topic, {times:d} times")
def step_ask_all_shards(context: Context, times: int) -> None:
    """Over one session through the write endpoint, after some that are not counted; the plan is requested, too."""
    world, handover = context.world, context.world.handover(QueryHandover)
    statement, own = world.profile.sql(queries.SUMS_BY_TOPIC), {"own": world.namespace}
    question = Question(statement, own, queries.sums_by_topic(handover.entries))
    _measure_questions(world, queries.OVER_ALL, [question], times)
    with sql.session(world.cluster.write) as session:
        handover.plan = plan_of(session, statement, own)


def _measure_questions(world: World, action: str, questions: Sequence[Question], times: int) -> None:
    def ask() -> None:
        world.history = ask_repeatedly(world.cluster.write, action, questions, times)

    measure(world, ask, lambda: every_answer_is(True, world.history, action))


@then("every {operation:Query} was answered correctly")
def step_answered_right(context: Context, operation: str) -> None:
    """Row for row as computed from what was stored; a wrong answer is no answer, however fast."""
    every_answer_is(True, context.world.history, operation).require()


@then("every worker took part in it")
def step_every_worker(context: Context) -> None:
    """By the plan: a task for each shard, and some of them on each worker.

    A worker group that takes no shards (shouldhaveshards), and holds none of the entries, is not counted.
    """
    world, plan = context.world, context.world.handover(QueryHandover).plan
    known = shards.placements(world.cluster.write, (world.profile.entries.table,))
    nothing_moves(plan.count, plan.moves, len(known)).require()
    expected = {*shards.taking_shards(world.cluster), *(one.node for one in known)}
    tasks = {worker: count for worker, count in tasks_by_worker(world, plan).items() if worker in expected}
    Finding(bool(tasks) and all(tasks.values()), f"tasks of a query over all shards: {tasks}").require()
