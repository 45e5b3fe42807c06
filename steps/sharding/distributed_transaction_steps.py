"""Transactions over several workers: rollback, deadlock, and deaths in the two phases of a commit."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from behave import given, register_type, then, when

from support import sql
from support.engine.finding import Finding
from support.engine.quiet import judged, measure
from support.engine.recovery import require_within
from support.engine.safety import safety
from support.engine.world import Context
from support.example_app.entries import Entry, EntryStore
from support.example_app.sessions import attempt
from support.faults.declared import disturbs
from support.sharding.checks import both_or_neither, one_victim
from support.sharding.handover import TransactionHandover
from support.sharding.placement_checks import on_several_nodes, together_they_hold
from support.sharding.shards import first_worker, namespaces_over_workers, rows_on_nodes
from support.sharding.transactions import (
    COMMIT_WITH_DEATH,
    THE_HOST,
    OpenTransaction,
    await_resolved,
    death,
    held_commits,
    require_at_work,
)
from support.target import citus
from support.target.citus import node_name
from support.target.members import NO_ANSWER
from support.timeouts import RECOVERY
from support.vocabulary import Kind
from support.waiting import eventually

_COLUMNS = ("namespace", "key", "value")
_BLOCKED = 20.0  # seconds that a blocked session waits at least: longer than a deadlock may take to be detected
_EACH = 5
"""Entries that the transaction stores on each of two workers."""


DYING = Kind("part that dies", (THE_HOST, "PostgreSQL"))
MOMENT = Kind.of("moment of a commit", COMMIT_WITH_DEATH)
register_type(DyingPart=DYING, Moment=MOMENT)


@given("a transaction that has inserted, updated and deleted entries on several workers")
def step_open_over_workers(context: Context) -> None:
    """Through the write endpoint; it is seen to be open on more than one worker, and is not committed."""
    world, names = context.world, namespaces_over_workers(context.world, 4)
    before = [Entry(name, key, "before") for name in names for key in ("kept", "removed")]
    world.entries.add_many(before)
    world.handover(TransactionHandover).before = [(one.namespace, one.key, one.value) for one in before]
    session = sql.connect(world.cluster.write)
    world.sessions.append(session)
    store = EntryStore(session, world.profile)
    for name in names:
        store.add(Entry(name, "new", "after"))
        store.update(name, "kept", "after")
        store.delete(name, "removed")
    require_at_work(world, session)


@when("the transaction rolls back")
def step_roll_back_over_workers(context: Context) -> None:
    """The session takes back all that it has written."""
    context.world.session.rollback()


@then("each worker holds what it held before")
def step_as_before(context: Context) -> None:
    """Read in the shards of each worker, on its leader, at once."""
    world = context.world
    found = rows_on_nodes(world.cluster, world.profile.entries, _COLUMNS, world.namespaces)
    for node, rows in found.items():
        world.measure(f"entries on {node}", len(rows), "")
    on_several_nodes(found).require()
    together_they_hold(world.handover(TransactionHandover).before, found).require()


@given("two sessions that have each changed an entry on a different worker")
def step_two_sessions(context: Context) -> None:
    """The two entries are seen to be on different workers; neither change is committed."""
    world = context.world
    names = world.handover(TransactionHandover).locked = namespaces_over_workers(world, 2)
    world.entries.add_many([Entry(name, "kept", "before") for name in names])
    on_several_nodes(rows_on_nodes(world.cluster, world.profile.entries, _COLUMNS, names)).require()
    for number, name in enumerate(names):
        patience = world.time_for("deadlock", _BLOCKED)
        world.sessions.append(sql.connect(world.cluster.write, statement_timeout=patience))
        EntryStore(world.sessions[number], world.profile).update(name, "kept", f"session {number}")


@when("each then changes the other's entry")
def step_change_the_others_entry(context: Context) -> None:
    """Both at the same time, and then they commit: no single worker can see that they block each other."""
    world, handover = context.world, context.world.handover(TransactionHandover)

    def go_on(number: int) -> None:
        store = EntryStore(world.sessions[number], world.profile)
        store.update(handover.locked[1 - number], "kept", f"session {number}")
        world.sessions[number].commit()

    def both() -> None:
        with ThreadPoolExecutor(2) as pool:
            handover.attempts = list(pool.map(lambda number: attempt(partial(go_on, number)), range(2)))

    measure(world, both, repeatable=False)


@then("exactly one is cancelled because of the deadlock, within {seconds:g} seconds")
def step_one_victim(context: Context, seconds: float) -> None:
    """The other one is not, and commits in that time."""
    world, attempts = context.world, context.world.handover(TransactionHandover).attempts
    one_victim([sql.condition_of(one.error) for one in attempts]).require()
    took, limit = max(one.seconds for one in attempts), world.limit(seconds, "deadlock")
    world.measure("the deadlock was over after", took, "s", limit)
    words = f"the deadlock was over after {took:.1f} s (limit: {limit:g} s)"
    judged(world, lambda: Finding.within_limit(took <= limit, words)).require()


@then("both entries are as the other session committed them")
def step_as_survivor(context: Context) -> None:
    """Read in the shards of each worker, on its leader."""
    world, handover = context.world, context.world.handover(TransactionHandover)
    survivor = next(number for number, one in enumerate(handover.attempts) if one.error is None)
    expected = [(name, "kept", f"session {survivor}") for name in handover.locked]
    found = rows_on_nodes(world.cluster, world.profile.entries, _COLUMNS, world.namespaces)
    together_they_hold(expected, found).require()


@given("a transaction that has written to two workers")
def step_open_on_two_workers(context: Context) -> None:
    """Through the write endpoint; it is seen to be open on both, and is not committed.

    Neither is a coordinator that holds shards: there is no other session for its part of a transaction.
    """
    world, names = context.world, namespaces_over_workers(context.world, 2, workers_only=True)
    groups = {one: citus.home(world.cluster.write, world.profile.entries.table, one) for one in names}
    session = sql.connect(world.cluster.write)
    world.sessions.append(session)
    entries = [Entry(one, f"entry-{number}", "new") for one in names for number in range(_EACH)]
    EntryStore(session, world.profile).add_many(entries)
    require_at_work(world, session)
    world.handover(TransactionHandover).transaction = OpenTransaction(session, groups)


@when("{what:DyingPart} of one of these workers dies {moment:Moment}")
@disturbs(held_commits)
@disturbs(death, "a worker of the transaction, such as this one", group=first_worker)
def step_dies(context: Context, what: str, moment: str) -> None:
    """The client commits; a worker's leader dies before that, after it, or when both workers have prepared."""
    world, handover = context.world, context.world.handover(TransactionHandover)
    group = next(iter(handover.transaction.groups.values()))
    fault = death(world.cluster, what, group)
    world.evidence.attach("what dies", f"{what} of {fault.target_member}, which leads {node_name(group)}, {moment}")
    begun = time.monotonic()
    handover.told = COMMIT_WITH_DEATH[moment](world, handover.transaction.session, fault)
    world.measure("the client was told after", time.monotonic() - begun, "s")
    world.evidence.attach("what the client was told of its commit", handover.told)


@then("within {seconds:g} seconds no transaction is in doubt on any node")
def step_none_in_doubt(context: Context, seconds: float) -> None:
    """Every node answers and holds no prepared transaction, in that time from the death on."""
    world, limit = context.world, context.world.limit(seconds, "resolution")
    begun = world.experiment.injected_fault.begun
    await_resolved(world.cluster, limit, begun)
    require_within(world, "no transaction was in doubt after", time.monotonic() - begun, limit)


@then("the transaction is on both workers or on neither, as its client was told")
@safety
def step_whole_or_nowhere(context: Context) -> None:
    """Read in the shards of each worker, on its leader, once nothing is in doubt any more."""
    world, handover = context.world, context.world.handover(TransactionHandover)
    groups = handover.transaction.groups
    await_resolved(world.cluster, world.timing.recovery, time.monotonic())
    rows = eventually(
        lambda: rows_on_nodes(world.cluster, world.profile.entries, ("namespace", "key"), list(groups)),
        within=RECOVERY,
        subject="every node answers with the rows that it holds",
        retry_on=NO_ANSWER,
    )
    found = {node_name(group): sum(row[0] == one for row in rows[node_name(group)]) for one, group in groups.items()}
    finding = both_or_neither(handover.told, found, _EACH)
    world.evidence.attach("the transaction", finding.words)
    finding.require()
