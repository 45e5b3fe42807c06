"""Vectors: the extension on every member, distances, and searches through the index."""

from collections.abc import Mapping

from behave import given, register_type, step, then, when
from hamcrest import (
    assert_that,
    close_to,
    greater_than_or_equal_to,
    has_property,
    not_none,
    only_contains,
)

from support.cluster.checks import (
    answers_are_in_order,
    every_member_finds,
    nothing_failed,
    recall,
    went_by_index,
)
from support.cluster.crowded_table import CHURN, VACUUM, make_crowded, search_members, start_churn
from support.cluster.handover import AnsweredSearches, ClusterHandover
from support.cluster.searching import roomy
from support.cluster.workloads import search_again, search_repeatedly
from support.engine.checks.answers import unchanged
from support.engine.finding import Finding
from support.engine.quiet import measure
from support.engine.tables import all_answer
from support.engine.world import Context, World
from support.errors import Inconclusive
from support.example_app import samples
from support.example_app.entries import EntryStore
from support.example_app.search import SEARCH, distance
from support.example_app.vectors import dialect_of, vector_extension
from support.target.members import ask_everyone, heard_and_silent
from support.vocabulary import Kind

PRECISION = 1e-5
"""Distances are computed from float4 components."""


METRIC = Kind("metric", ("cosine", "Euclidean"))
_NUMBER = r"-?\d+(?:\.\d+)?"
VECTOR = Kind("vector", (), more=rf"\[{_NUMBER}(?:, *{_NUMBER})*\]", shown=("[1, 2.5, -3]",))
register_type(Metric=METRIC, Vector=VECTOR)


@when("every member is asked for its vector extension")
def step_ask_extension(context: Context) -> None:
    """Directly: the version installed in the database, and the version whose files that member's host has."""
    cluster = context.world.cluster
    context.world.handover(ClusterHandover).extensions = ask_everyone(
        cluster, cluster.everyone, lambda name: vector_extension(cluster.of_member(name))
    )


@then("all have the same version installed, and the same version available")
def step_same_extension(context: Context) -> None:
    """Each member has the versions of the server behind the write endpoint. Without the extension's files it has none
    available.
    """
    answers, expected = (
        context.world.handover(ClusterHandover).extensions,
        vector_extension(context.world.cluster.write),
    )
    assert_that(expected, has_property("at_hand", not_none()), "the vector extension behind the write endpoint")
    all_answer(expected, answers, "the vector extension of each member").require()


@when("the {metric:Metric} distance from {one:Vector} to {other:Vector} is computed by the write endpoint")
def step_distance_on_write(context: Context, metric: str, one: str, other: str) -> None:
    """By the server behind the write endpoint."""
    write, state = context.world.cluster.write, context.world.handover(ClusterHandover)
    state.distances = {write.name: distance(write, dialect_of(write), metric, one, other)}


@when("the {metric:Metric} distance from {one:Vector} to {other:Vector} is computed by every member")
def step_distance_on_members(context: Context, metric: str, one: str, other: str) -> None:
    """By each member, queried directly."""
    cluster, dialect = context.world.cluster, dialect_of(context.world.cluster.write)
    context.world.handover(ClusterHandover).distances = ask_everyone(
        cluster, cluster.everyone, lambda name: distance(cluster.of_member(name), dialect, metric, one, other)
    )


@then("the answer is {expected:g}")
def step_distance_is(context: Context, expected: float) -> None:
    """The distance computed by hand, on every server that was asked."""
    heard, silent = heard_and_silent(context.world.handover(ClusterHandover).distances)
    if heard:
        assert_that(list(heard.values()), only_contains(close_to(expected, PRECISION)), f"distances computed: {heard}")
    if silent or not heard:
        reasons = [f"{name}: no answer ({why})" for name, why in silent.items()]
        raise Inconclusive("; ".join(reasons) or "nobody was asked for the distance")


@given("{count:d} entries with distinct embeddings")
def step_entries_with_embeddings(context: Context, count: int) -> None:
    """Clustered around a few centres, like embeddings of texts; stored through the write endpoint.

    If the application's table holds many entries of others, they are stored in an empty copy of it.
    """
    world, state = context.world, context.world.handover(ClusterHandover)
    state.searched = roomy(world)
    state.entries = samples.entries(world.random, world.namespace, count, world.profile)
    EntryStore(state.searched.write, state.searched.profile).add_many(state.entries)


@step("the nearest {count:d} entries are searched for, {times:d} times")
def step_search(context: Context, count: int, times: int) -> None:
    """Each is near a different entry, in one session through the write endpoint; the first few are not counted.

    What is timed is the search alone, without what sets its parameters.
    """
    world, state = context.world, context.world.handover(ClusterHandover)
    sought = samples.vectors_near(world.random, samples.embeddings(state.entries), times)
    there, found = state.searched, list[Mapping[str, str]]()

    def search() -> None:
        state.searches = search_repeatedly(there.write, there.profile, world.namespace, sought, count)
        state.answered, world.history = state.searches, state.searches.history
        found.append(state.searches.found)

    measure(world, search, lambda: unchanged(found[0], found[-1]))


@then("every search used the HNSW index for cosine distance")
def step_by_index(context: Context) -> None:
    """According to the plan of each search; the index is valid, and is an HNSW index for that metric."""
    searches = context.world.handover(ClusterHandover).searches
    context.world.evidence.attach("Plan of the search", searches.plan)
    went_by_index(searches.indexes_used, searches.cosine_indexes).require()


@then("each answer is in the order of the true distances")
def step_in_order(context: Context) -> None:
    """Every search was answered, with as many entries as requested, each with its true distance, computed outside the
    database.
    """
    searches = _all_answered(context.world)
    stored = samples.embeddings_by_key(context.world.handover(ClusterHandover).entries)
    answers_are_in_order(stored, searches.answers, searches.count, PRECISION).require()


def _all_answered(world: World) -> AnsweredSearches:
    """The last searches. Raises AssertionError if one failed: a damaged index shows in some of them only."""
    searches = world.handover(ClusterHandover).answered
    nothing_failed(searches.history, (SEARCH,)).require()
    return searches


@then("the recall at {count:d} is at least {fraction:g}")
def step_recall(context: Context, count: int, fraction: float) -> None:
    """The share of the true nearest neighbours, computed outside the database, that the searches found; every one of
    them was answered.
    """
    searches, limit = _all_answered(context.world), context.world.limit(fraction, "recall")
    found = recall(samples.embeddings_by_key(context.world.handover(ClusterHandover).entries), searches.answers, count)
    context.world.measure(f"recall at {count}", found, "", limit, at_least=True)
    assert_that(found, greater_than_or_equal_to(limit), f"recall over {len(searches.answers)} searches")


@given("a copy of the table of entries with {own:d} entries among {others:d} of other namespaces")
def step_crowded(context: Context, own: int, others: int) -> None:
    """All with embeddings around the same few centres. The copy has the table's indexes, and every member has it."""
    context.world.handover(ClusterHandover).crowded = make_crowded(context.world, own, others)


@given("entries of other namespaces that come and go in it")
def step_churn(context: Context) -> None:
    """Clients add and remove them through the write endpoint until the scenario ends."""
    state = context.world.handover(ClusterHandover)
    state.churn = start_churn(context.world, state.crowded)


@when("the nearest {count:d} are searched for on every member, {times:d} times, while the table is vacuumed")
def step_search_members(context: Context, count: int, times: int) -> None:
    """In new sessions that set nothing: by the settings of the application's role, its database and the server alone.

    The planner chooses whether it uses the index.
    """
    world, state = context.world, context.world.handover(ClusterHandover)
    state.member_searches = search_members(world, state.crowded, state.churn, count, times)
    for member, found in state.member_searches.items():
        world.evidence.attach(f"Plan of a search on {member}", found.plan)


@then("each search finds {count:d} entries, all of its own namespace")
def step_members_find(context: Context, count: int) -> None:
    """On every member, as many as were asked for, without an error."""
    state = context.world.handover(ClusterHandover)
    origins = {member: found.origins for member, found in state.member_searches.items()}
    failed = {member: found.failed for member, found in state.member_searches.items()}
    every_member_finds(origins, failed, state.crowded.namespace, count).require()


@then("the recall at {count:d} is at least {fraction:g} on every member")
def step_members_recall(context: Context, count: int, fraction: float) -> None:
    """The share of the true nearest neighbours, computed outside the database, that the searches found there."""
    state, limit = context.world.handover(ClusterHandover), context.world.limit(fraction, "recall")
    shares = {
        member: recall(state.crowded.stored, found.answers, count) for member, found in state.member_searches.items()
    }
    for member, found in shares.items():
        context.world.measure(f"recall at {count} on {member}", found, "", limit, at_least=True)
    if not shares:
        Finding.unknown("no member was searched").require()
    few = [f"{found:.3f} on {member}" for member, found in shares.items() if found < limit]
    Finding(not few, f"recall at {count} {' and '.join(few)} (at least {limit:g})").require()


@then("nothing that was done to the table meanwhile failed")
def step_nothing_failed(context: Context) -> None:
    """No entry that came or went, and no vacuum."""
    churn = context.world.handover(ClusterHandover).churn
    churn.stop()
    nothing_failed(churn.history, (CHURN, VACUUM)).require()


@when("the same searches are repeated")
def step_search_again(context: Context) -> None:
    """For the vectors that an earlier step searched for, in a new session through the write endpoint, as soon as that
    accepts logins to a leader.
    """
    world, state = context.world, context.world.handover(ClusterHandover)
    state.earlier_searches = state.searches
    there = state.searched
    state.searches = search_again(there.write, there.profile, world.namespace, state.earlier_searches)


@then("every answer is the same as before")
def step_same_answers(context: Context) -> None:
    """Each search finds the same entries at the same distances, in the same order; none failed, before or now."""
    state = context.world.handover(ClusterHandover)
    for searches in (state.earlier_searches, state.searches):
        nothing_failed(searches.history, (SEARCH,)).require()
    unchanged(state.earlier_searches.found, state.searches.found).require()
