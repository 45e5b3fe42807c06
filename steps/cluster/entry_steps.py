"""Entries: stored, read back, refused; and that they stay inside their namespace."""

import itertools
from collections.abc import Sequence

from behave import given, register_type, then, when
from hamcrest import assert_that, contains_string, empty, equal_to, none

from support import sql
from support.cluster.handover import ClusterHandover
from support.cluster.workloads import READ, read_repeatedly
from support.engine.checks.answers import contents_match, every_answer_is
from support.engine.finding import Finding
from support.engine.quiet import judged, measure
from support.engine.world import Context
from support.errors import Inconclusive
from support.example_app import samples
from support.example_app.entries import (
    Entry,
    EntryStore,
    all_see_all,
    contents,
    counts,
    embedding_checks,
    nothing_compared,
    vector_indexes,
)
from support.example_app.index_names import is_one_of
from support.example_app.sessions import attempt
from support.sql import CONDITION, condition_of, constraint_of, error_of
from support.timeouts import STATEMENT
from support.vocabulary import Kind

CONTENT = Kind.of("content of an entry", samples.CONTENTS)
register_type(Content=CONTENT, Condition=CONDITION)


@given("a stored entry")
def step_stored_entry(context: Context) -> None:
    """Text, metadata and an embedding, committed through the write endpoint."""
    world, state = context.world, context.world.handover(ClusterHandover)
    state.entry = samples.entry(world.random, world.namespace, world.profile)
    world.entries.add(state.entry)
    world.error = None


@when("an entry with {content:Content} is stored")
def step_store_entry(context: Context, content: str) -> None:
    """Committed through the write endpoint, or refused."""
    world, state = context.world, context.world.handover(ClusterHandover)
    entry = state.entry = samples.entry_with(content, world.random, world.namespace, world.profile)
    world.error = error_of(lambda: world.entries.add(entry))


@when("another entry is stored under the same key")
def step_store_again(context: Context) -> None:
    """With a different value."""
    world = context.world
    second = samples.entry(world.random, world.namespace, world.profile, world.handover(ClusterHandover).entry.key)
    world.error = error_of(lambda: world.entries.add(second))


@then("it is accepted")
def step_accepted(context: Context) -> None:
    """Storing it raised no error."""
    assert_that(context.world.error, none(), "the error of storing the entry")


@then("it is refused as a {condition:Condition}")
def step_refused_as(context: Context, condition: str) -> None:
    """By PostgreSQL's name for the error."""
    error = context.world.error
    said = f"what the server reports ({error or 'no error: it was stored'})"
    assert_that(condition_of(error), equal_to(condition), said)


@then("it is refused because of its dimensions")
def step_refused_dimensions(context: Context) -> None:
    """PostgreSQL reports a data exception that mentions dimensions, or a violated CHECK constraint of the embedding.

    RuVector takes vectors of any size: there, the constraint is what keeps them out.
    """
    world, error = context.world, context.world.error
    said = f"what the server reports ({error or 'no error: it was stored'})"
    if condition_of(error) == "check violation":
        checks = embedding_checks(world.cluster.write, world.profile)
        Finding(is_one_of(constraint_of(error), checks), f"{said} is not about the embedding").require()
        return
    assert_that(condition_of(error), equal_to("data exception"), said)
    assert_that(str(error), contains_string("dimensions"), "the error")


@then("nothing is stored")
def step_nothing_stored(context: Context) -> None:
    """The scenario's namespace is empty."""
    assert_that(context.world.entries.all(context.world.namespace), empty(), "entries that are stored")


@then("another session reads it back unchanged")
def step_reads_back(context: Context) -> None:
    """Column by column, in a session that did not store it."""
    world, entry = context.world, context.world.handover(ClusterHandover).entry
    assert_that(world.error, none(), "the error of storing the entry")
    read = world.entries.find(entry.namespace, entry.key)
    contents_match(contents([entry]), contents(read)).require()


@then("another session reads the first one back unchanged")
def step_first_stays(context: Context) -> None:
    """The key holds the first entry and nothing else."""
    entry = context.world.handover(ClusterHandover).entry
    found = context.world.entries.find(entry.namespace, entry.key)
    contents_match(contents([entry]), contents(found)).require()


@when("{count:d} entries are stored at once")
def step_store_many(context: Context, count: int) -> None:
    """In one transaction through the write endpoint, as the application loads them."""
    world = context.world
    state, further = world.handover(ClusterHandover), map("again-{}".format, itertools.count(1))
    namespaces = itertools.chain([world.namespace], map(world.another_namespace, further))
    patience = world.time_for("load", STATEMENT)

    def load() -> None:
        stored = state.entries = samples.entries(world.random, next(namespaces), count, world.profile)
        state.load = attempt(lambda: store(stored))

    def store(stored: Sequence[Entry]) -> None:
        with sql.session(world.cluster.write, statement_timeout=patience, autocommit=False) as session:
            EntryStore(session, world.profile).add_many(stored)
            session.commit()

    measure(world, load)


@then("it took less than {seconds:g} seconds")
def step_load_in_time(context: Context, seconds: float) -> None:
    """From the login to the acknowledged commit."""
    state, limit = context.world.handover(ClusterHandover), context.world.limit(seconds, "load")

    def in_time() -> Finding:
        assert_that(state.load.error, none(), "the error of storing the entries")
        words = f"the load was acknowledged after {state.load.seconds:.2f} s (limit: {limit:g} s)"
        return Finding.within_limit(state.load.seconds < limit, words)

    finding = judged(context.world, in_time)
    context.world.measure("loading the entries", state.load.seconds, "s", limit)
    finding.require()


@then("another session reads all {count:d} back unchanged")
def step_reads_all_back(context: Context, count: int) -> None:
    """Every entry, column by column, and nothing else."""
    world = context.world
    stored = world.handover(ClusterHandover).entries
    found = world.entries.all(stored[0].namespace)
    contents_match(contents(stored), contents(found)).require()


@then("a count of all entries is the same by every plan")
def step_counted_right(context: Context) -> None:
    """Counts the whole table in one snapshot: by the planner's choice, by a sequential scan, and by an index.

    A way that takes longer than a statement may is not counted, nor are those after it; Inconclusive unless two ways
    were. None is counted if the table is very large: then the plans are judged, of which none may use a vector index.
    """
    world = context.world
    table = world.profile.entries.table
    found = counts(world.cluster.write, table)
    told = [f"{way}: {'not counted' if one.rows is None else one.rows}\n{one.plan}" for way, one in found.items()]
    world.evidence.attach("counts and their plans", "\n\n".join(told))
    by_vector = vector_indexes(world.cluster.write, table)
    assert_that(all_see_all(found, by_vector), empty(), "what is wrong with the counts")
    if why := nothing_compared(found):
        raise Inconclusive(why)


@when("it is read {times:d} times by its key")
def step_read_repeatedly(context: Context, times: int) -> None:
    """One read after another in one session through the write endpoint; the first few warm up and are not counted."""
    world, entry = context.world, context.world.handover(ClusterHandover).entry

    def read() -> None:
        world.history = read_repeatedly(world.cluster.write, world.profile, entry, times)

    measure(world, read, lambda: every_answer_is(True, world.history, READ))


@then("it came back unchanged every time")
def step_each_read_right(context: Context) -> None:
    """A fast wrong answer does not count."""
    every_answer_is(True, context.world.history, READ).require()
