"""Namespaces: what one of them does, seen from it and from another."""

from behave import given, then, when
from hamcrest import assert_that, empty, equal_to

from support.cluster.checks import each_finds_its_own
from support.cluster.handover import ClusterHandover
from support.cluster.searching import why_exactly
from support.cluster.workloads import search_repeatedly
from support.engine.checks.answers import contents_match
from support.engine.world import Context
from support.example_app import samples
from support.example_app.entries import contents

ENTRIES = 20
NEW_VALUE = "changed by the first namespace"


@given("two namespaces with different entries under the same keys")
def step_two_namespaces(context: Context) -> None:
    """Each has some entries, stored through the write endpoint."""
    world, state = context.world, context.world.handover(ClusterHandover)
    state.first = samples.entries(world.random, world.namespace, ENTRIES, world.profile)
    state.second = samples.entries(world.random, world.another_namespace("second"), ENTRIES, world.profile)
    world.entries.add_many(state.first + state.second)


@when("the first namespace reads every key")
def step_read_every_key(context: Context) -> None:
    """Key by key."""
    world, state = context.world, context.world.handover(ClusterHandover)
    state.found = world.entries.find_each(world.namespace, samples.keys(state.second))


@then("it finds its own entries and no others")
def step_finds_own(context: Context) -> None:
    """Each of its entries, unchanged, and nothing else."""
    state = context.world.handover(ClusterHandover)
    contents_match(contents(state.first), contents(state.found)).require()


@when("the first namespace searches for the nearest {count:d} to each entry of the second")
def step_search_for_others(context: Context, count: int) -> None:
    """With the embeddings of the second namespace's entries, which are therefore the nearest of all.

    By the HNSW index; exactly if there is none, or if the table holds so many entries of others that the index need not
    find enough.
    """
    world, state = context.world, context.world.handover(ClusterHandover)
    sought, exact = samples.embeddings(state.second), bool(why_exactly(world))
    state.searches = search_repeatedly(world.cluster.write, world.profile, world.namespace, sought, count, exact)


@then("every search finds {count:d} entries, all of the first namespace")
def step_found_own(context: Context, count: int) -> None:
    """As many as requested, although the nearest of all belong to the other namespace."""
    world = context.world
    each_finds_its_own(world.handover(ClusterHandover).searches.origins, world.namespace, count).require()


@when("the first namespace updates every key")
def step_update_every_key(context: Context) -> None:
    """Each of its entries gets another value."""
    world, state = context.world, context.world.handover(ClusterHandover)
    store = world.entries
    state.touched = store.update_each(world.namespace, samples.keys(state.second), NEW_VALUE)


@then("all of its own entries are changed")
def step_own_changed(context: Context) -> None:
    """All its entries have the new value, and the updates touched exactly as many rows."""
    world, state = context.world, context.world.handover(ClusterHandover)
    values = {entry.value for entry in world.entries.all(world.namespace)}
    assert_that(values, equal_to({NEW_VALUE}), "the values in the first namespace")
    assert_that(state.touched, equal_to(ENTRIES), "rows that the updates touched")


@when("the first namespace deletes every key")
def step_delete_every_key(context: Context) -> None:
    """Key by key."""
    world, state = context.world, context.world.handover(ClusterHandover)
    state.touched = world.entries.delete_each(world.namespace, samples.keys(state.second))


@then("none of its own entries are left")
def step_own_deleted(context: Context) -> None:
    """The namespace is empty, and the deletes touched exactly as many rows as there were entries."""
    world = context.world
    assert_that(world.entries.all(world.namespace), empty(), "entries of the first namespace")
    assert_that(world.handover(ClusterHandover).touched, equal_to(ENTRIES), "rows that the deletes touched")


@then("the entries of the second namespace are unchanged")
def step_second_unchanged(context: Context) -> None:
    """All of them, column by column."""
    second = context.world.handover(ClusterHandover).second
    found = context.world.entries.all(second[0].namespace)
    contents_match(contents(second), contents(found)).require()
