"""Transactions: what is committed or rolled back, who sees it, and clients that write at the same time."""

from behave import given, then, when
from hamcrest import all_of, assert_that, empty, equal_to, has_length, only_contains

from support import sql
from support.cluster.handover import ClusterHandover
from support.engine import counter, ledger, markers
from support.engine.checks.availability import every_client_succeeded
from support.engine.checks.durability import each_write_once, no_acknowledged_write_lost
from support.engine.checks.exactly_once import counted_exactly
from support.engine.quiet import excused
from support.engine.tables import all_answer
from support.engine.workload import run_to_end
from support.engine.world import Context
from support.errors import Inconclusive
from support.example_app.entries import Entry, EntryStore, sightings, write_uncommitted
from support.target.members import ask_everyone, ask_in_parallel
from support.target.purposes import prompt_replicas
from support.waiting import in_time, precondition


@given("a session that has written an entry and not committed it")
def step_write_uncommitted(context: Context) -> None:
    """Through the write endpoint; the session itself sees the entry."""
    world, state = context.world, context.world.handover(ClusterHandover)
    state.entry = Entry(world.namespace, "entry", f"{world.random.random()}")
    world.sessions.append(sql.connect(world.cluster.write))
    write_uncommitted(world.session, world.profile, state.entry)


@when("other sessions look for the entry")
def step_others_look(context: Context) -> None:
    """Five new ones through the write endpoint, one after another, while the transaction is open."""
    world, state = context.world, context.world.handover(ClusterHandover)
    state.found = sightings(world.cluster.write, world.profile, state.entry, sessions=5)


@then("none of them finds it")
def step_none_finds(context: Context) -> None:
    """Each query was answered and found nothing under the entry's key."""
    found = context.world.handover(ClusterHandover).found
    assert_that(found, empty(), "what other sessions find of an uncommitted write")


@when("it rolls back")
def step_roll_back(context: Context) -> None:
    """The session that wrote the entry rolls back."""
    context.world.session.rollback()


@then("neither that session nor a later one finds the entry")
def step_nobody_finds(context: Context) -> None:
    """The session that rolled back looks again, and five new ones do."""
    world, entry = context.world, context.world.handover(ClusterHandover).entry
    own = tuple(EntryStore(world.session, world.profile).find(entry.namespace, entry.key))
    assert_that(
        own + sightings(world.cluster.write, world.profile, entry, sessions=5), empty(), "what is found of the write"
    )


@when("it rolls back, and a later write has reached every replica")
def step_roll_back_and_pass(context: Context) -> None:
    """A replica that shows a later commit has replayed everything that the rolled-back transaction wrote.

    One that replays late on purpose is not waited for.
    """
    world = context.world
    world.session.rollback()
    with precondition("no later write has reached every replica"), excused(world):
        markers.delays(world.cluster, world.namespace, count=1, within=world.timing.visible)


@then("no member has the entry")
def step_no_member_has(context: Context) -> None:
    """Each member is queried directly."""
    cluster, entry = context.world.cluster, context.world.handover(ClusterHandover).entry
    found = ask_everyone(
        cluster,
        (cluster.leader(), *cluster.followers()),
        lambda name: sightings(cluster.of_member(name), cluster.profile, entry, sessions=1),
    )
    all_answer((), found, "what each member has of the write").require()


@when("a session commits an entry")
def step_commit(context: Context) -> None:
    """Through the write endpoint; the commit is acknowledged."""
    world, state = context.world, context.world.handover(ClusterHandover)
    state.entry = Entry(world.namespace, "entry", f"{world.random.random()}")
    world.entries.add(state.entry)


@then("{count:d} later sessions find it unchanged")
def step_later_sessions_find(context: Context, count: int) -> None:
    """New sessions through the write endpoint, one after another, after the acknowledgement."""
    world, entry = context.world, context.world.handover(ClusterHandover).entry
    assert_that(
        sightings(world.cluster.write, world.profile, entry, count),
        all_of(has_length(count), only_contains(equal_to(entry))),
        "what later sessions find",
    )


@then("the leader has it")
def step_leader_has(context: Context) -> None:
    """Read from the leader directly, without waiting."""
    cluster, entry = context.world.cluster, context.world.handover(ClusterHandover).entry
    found = sightings(cluster.of_member(cluster.leader()), cluster.profile, entry, sessions=1)
    assert_that(found, equal_to((entry,)), "what the leader has of the write")


@then("every replica has it within {seconds:g} seconds")
def step_replicas_have(context: Context, seconds: float) -> None:
    """Each replica is read directly. If one does not answer, the result for it is unknown.

    Replicas that replay late on purpose, or that read the archive, are left out.
    """
    cluster, entry = context.world.cluster, context.world.handover(ClusterHandover).entry
    replicas = prompt_replicas(cluster)
    with excused(context.world):
        in_time(
            lambda: all_answer(
                (entry,),
                ask_in_parallel(
                    replicas, lambda name: sightings(cluster.of_member(name), cluster.profile, entry, sessions=1)
                ),
                "what each replica has of the write",
            ).require(),
            within=context.world.limit(seconds, "lag"),
            subject="the committed entry is on every replica",
            unknown=(Inconclusive,),
        )


@when("{clients:d} concurrent clients store {times:d} entries each")
def step_clients_store(context: Context, clients: int, times: int) -> None:
    """Each client uses its own keys, and each entry its own transaction; then all entries are read back."""
    world = context.world
    world.history = run_to_end(world.cluster.write, ledger.appends(world.profile, world.namespace, times), clients)
    world.handover(ClusterHandover).action = ledger.APPEND
    ledger.read_back(world.cluster.write, world.profile, world.namespace, world.history)


@then("each of their entries is there once")
def step_each_once(context: Context) -> None:
    """No entry is missing, duplicated or unexpected."""
    no_acknowledged_write_lost(context.world.history).require()
    each_write_once(context.world.history).require()


@given("a counter that stands at 0")
def step_counter(context: Context) -> None:
    """One row, stored through the write endpoint."""
    counter.create(context.world.cluster.write, context.world.profile, context.world.namespace)


@when("{clients:d} concurrent clients add one to it {times:d} times each")
def step_clients_count(context: Context, clients: int, times: int) -> None:
    """In a transaction, each reads the counter under a row lock and writes it back incremented."""
    world = context.world
    world.history = run_to_end(world.cluster.write, counter.increments(world.profile, world.namespace, times), clients)
    world.handover(ClusterHandover).action = counter.INCREMENT


@then("all {clients:d} clients succeeded {times:d} times")
def step_all_succeeded(context: Context, clients: int, times: int) -> None:
    """No operation failed, and all clients worked at the same time."""
    world, state = context.world, context.world.handover(ClusterHandover)
    every_client_succeeded(world.history, state.action, clients, times).require()


@then("the counter stands at {expected:d}")
def step_counter_stands(context: Context, expected: int) -> None:
    """A lower value means lost updates; a higher one is wrong as well."""
    world = context.world
    found = counter.reading(world.cluster.write, world.profile, world.namespace)
    counted_exactly(world.history, begun_at=0, ended_at=found).require()
    assert_that(found, equal_to(expected), "the counter")
