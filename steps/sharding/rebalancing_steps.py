"""Shards that are moved: drained, rebalanced, and moves that are interrupted."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from behave import given, register_type, then, when

from support import sql
from support.engine.checks.availability import every_client_worked, longest_gap_of_any_client
from support.engine.checks.durability import each_write_once, no_acknowledged_write_lost
from support.engine.finding import Finding
from support.engine.history import History, Operation, Outcome
from support.engine.ledger import APPEND, READ, appends, read_back
from support.engine.safety import safety
from support.engine.workload import Task, Turn, Workload
from support.engine.world import Context, World
from support.errors import Inconclusive, NotInTime
from support.example_app.profile import quoted
from support.faults.declared import disturbs
from support.sharding import placement_checks as checks
from support.sharding import shard_map, shards
from support.sharding.handover import MoveHandover
from support.sharding.membership import joined, require_equal_to_others, require_gone
from support.sharding.moves import (
    BREAK,
    COPIED,
    KILLED,
    PlannedMove,
    break_off,
    fault_of_move,
    kill_in_move,
    left_behind,
    loss_of_coordinator,
    make_tables,
    rebalance,
)
from support.sharding.shards import first_worker, last_taking_shards, second_worker, taking_shards
from support.target.citus import node_name
from support.target.emptied import let_take_shards, without_shards
from support.target.members import NO_ANSWER
from support.target.timing import Span
from support.timeouts import RECOVERY, REJOIN, STATEMENT
from support.waiting import NotYet, describe, eventually

_PACE, _PATIENCE = 0.02, 10.0  # seconds between a client's writes, and that it waits for an answer
_FILL = """
    INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also})
    SELECT %s, number::text, repeat(md5(number::text), 20){entries.filling} FROM generate_series(1, %s) number
"""


register_type(Killed=KILLED, Break=BREAK)


@given("two co-located tables of {count:d} shards, and a client that writes to each shard")
def step_tables_with_clients(context: Context, count: int) -> None:
    """Tables of the scenario's own; each client appends to a ledger in one shard until the scenario ends."""
    world = context.world
    own = world.handover(MoveHandover).tables = make_tables(world, count)
    ledgers = [appends(own.cluster.profile, namespace) for namespace in own.namespaces]

    def script(turn: Turn) -> Task | None:
        return ledgers[turn.client](turn)

    clients = len(ledgers)
    workload = Workload(own.cluster.write, script, clients=clients, pace=_PACE, patience=_PATIENCE)
    world.start(workload, acknowledged=10 * clients)


@given("two co-located tables of {count:d} shards, one shard with {rows:d} rows")
def step_tables_with_rows(context: Context, count: int, rows: int) -> None:
    """Tables of the scenario's own; the other shards have a few rows each. The large shard is the one to be moved."""
    handover = context.world.handover(MoveHandover)
    own = handover.tables = make_tables(context.world, count)
    large = own.first_on_a_worker
    for number, namespace in enumerate(own.namespaces):
        sql.execute(own.cluster.write, own.cluster.profile.sql(_FILL), [namespace, rows if number == large else 10])
    handover.planned = PlannedMove.of_first_shard(own)


@given("a worker group that holds none of their shards")
def step_drained_before(context: Context) -> None:
    """The worker group was drained just now, and is empty."""
    step_drain(context)
    step_empty(context)


@when("one worker group is drained")
def step_drain(context: Context) -> None:
    """The group may take no shards, and those of these tables are moved away; when the scenario ends, it may again."""
    world = context.world
    _let_one_be_emptied(world)
    _rebalance(world, "draining", drain_only=True)


@when("that worker group may hold shards again, and the tables are rebalanced")
def step_rebalance(context: Context) -> None:
    """The shards of these tables only, by their number."""
    world = context.world
    let_take_shards(world.cluster.administration, world.handover(MoveHandover).drained, True)
    _rebalance(world, "the rebalance")


@when("a new worker joins, and the tables are rebalanced")
def step_join(context: Context) -> None:
    """A server of its own, without tables. It is added to the cluster, and leaves it at the end of the scenario."""
    world = context.world
    begun = time.monotonic()
    world.handover(MoveHandover).new_worker = world.cleanup.enter_context(joined(world.cluster))
    world.measure("the worker joined within", time.monotonic() - begun, "s")
    _rebalance(world, "the rebalance")


@given("a new worker that holds its share of their shards")
def step_joined_before(context: Context) -> None:
    """The worker has joined just now, and the tables are rebalanced."""
    step_join(context)
    world, handover = context.world, context.world.handover(MoveHandover)
    held = [one for one in handover.tables.placements if one.node == handover.new_worker.name]
    world.measure(f"shards on {handover.new_worker.name}", len(held), "")
    if not held:
        raise Inconclusive(f"{handover.new_worker.name} has none of their shards")


@when("that worker is drained and removed")
def step_leave(context: Context) -> None:
    """Its shards are moved to the other workers, and it is no longer a node."""
    world, handover = context.world, context.world.handover(MoveHandover)
    begun, handover.before = time.monotonic(), handover.tables.placements
    refused = sql.error_of(handover.new_worker.leave)
    handover.meanwhile = (begun, time.monotonic())
    world.measure("draining and removing took", handover.meanwhile[1] - begun, "s")
    Finding(refused is None, f"{handover.new_worker.name} cannot be drained and removed: {refused}").require()
    maps = {"before": handover.before, "after": handover.tables.placements}
    shard_map.attach(world.evidence, "shards before and after a worker has left", maps)


@then("the new worker knows every table, and answers queries as the coordinator does")
def step_like_the_others(context: Context) -> None:
    """The worker has every reference table and all metadata of nodes and tables, and finds the rows of every shard."""
    handover = context.world.handover(MoveHandover)
    require_equal_to_others(handover.new_worker)
    there = replace(handover.new_worker.endpoint, options=handover.tables.cluster.write.options)
    found, right = handover.tables.rows_seen(there), handover.tables.rows
    Finding(bool(right) and found == right, f"it finds {found}, and the coordinator {right}").require()


@then("no node knows that worker any more")
def step_forgotten(context: Context) -> None:
    """Neither the coordinator nor any other worker."""
    require_gone(context.world.handover(MoveHandover).new_worker)


def _rebalance(world: World, words: str, *, drain_only: bool = False) -> None:
    """Rebalance the scenario's tables; the progress, and maps of the shards before and after, are attached."""
    handover, own = world.handover(MoveHandover), world.handover(MoveHandover).tables
    handover.before = own.placements
    with rebalance(own.cluster.write, quoted(own.tables[0]), drain_only=drain_only) as job:
        world.measure(f"{words} took", job.require_done(), "s")
    handover.meanwhile = (job.begun, job.ended)
    world.evidence.attach(f"{words}, step by step", "\n".join(map(str, job.steps)))
    maps = {"before": handover.before, "after": own.placements}
    shard_map.attach(world.evidence, f"shards before and after {words}", maps)


def _let_one_be_emptied(world: World) -> None:
    """One worker group takes no shards from now on, until the scenario ends or re-enables it."""
    group = world.handover(MoveHandover).drained = last_taking_shards(world.cluster)
    world.cleanup.enter_context(without_shards(world.cluster, world.run.id, group))


@then("it holds none of their shards")
def step_empty(context: Context) -> None:
    """By Citus' metadata, and by the node's own tables."""
    handover = context.world.handover(MoveHandover)
    own, worker = handover.tables, node_name(handover.drained)

    def emptied() -> None:
        meant = [str(one) for one in own.placements if one.node == worker]
        held = shards.held_on_nodes(own.cluster, own.tables).get(worker)
        if held is None:
            raise NotYet(f"{worker} refuses the login")
        Finding(not meant and not held, f"{worker} should have {meant}, and has {sorted(held)}").require()

    eventually(emptied, within=REJOIN, subject=f"{worker} is empty", retry_on=NO_ANSWER)


@then("co-located shards are still together")
def step_together(context: Context) -> None:
    """And each is on one node only, read on the leader of each group."""
    context.world.handover(MoveHandover).tables.require_in_order()


@then("the {count:d} shards of each table are spread over all workers, and co-located shards are together")
def step_balanced(context: Context, count: int) -> None:
    """Some were moved; each is on one node only, read on the leader of each group. Worker groups that take no shards
    (shouldhaveshards) are left out.
    """
    world, handover = context.world, context.world.handover(MoveHandover)
    shifted = checks.moved(handover.before, handover.tables.placements)
    world.measure("shards moved", len(shifted), "")
    Finding(bool(shifted), "no shard was moved").require()
    checks.evenly_spread(handover.tables.placements, count, taking_shards(world.cluster)).require()
    handover.tables.require_in_order()


@then("no write acknowledged in the meantime is lost")
@safety
def step_nothing_lost(context: Context) -> None:
    """Every client wrote while shards were moved; every acknowledged write is read back, once."""
    world, handover = context.world, context.world.handover(MoveHandover)
    clients, moved = len(handover.tables.namespaces), handover.meanwhile
    world.clients.await_acknowledged(clients, within=RECOVERY)
    world.clients.stop()
    history = world.clients.history
    every_client_worked(history, APPEND, clients, moved).require()
    world.measure("a client was interrupted for, at most", longest_gap_of_any_client(history, APPEND, moved[0]), "s")
    world.measure("acknowledged writes", len(history.of(action=APPEND, outcome=Outcome.OK)), "")
    _read_back(handover, history)
    for finding in (no_acknowledged_write_lost(history, moved), each_write_once(history)):
        world.evidence.attach("ledgers", finding.words)
        finding.require()


def _read_back(handover: MoveHandover, history: History) -> None:
    """Record the entries of all ledgers as one read."""
    cluster, found, begun = handover.tables.cluster, History(), time.monotonic()
    for namespace in handover.tables.namespaces:
        read_back(cluster.write, cluster.profile, namespace, found)
    values = [value for one in found for value in one.value]
    history.append(Operation(-1, READ, "all ledgers", values, Outcome.OK, begun, time.monotonic()))


@then("another rebalance moves nothing")
def step_nothing_moves(context: Context) -> None:
    """The shards are balanced."""
    own = context.world.handover(MoveHandover).tables
    before = own.placements
    with rebalance(own.cluster.write, quoted(own.tables[0])) as job:
        job.require_done()
    checks.as_before(before, own.placements).require()


@when("that shard is moved to another worker group, and {who:Killed} is killed halfway")
@disturbs(
    kill_in_move,
    "which workers move it depends on where the shard is; here, the first two",
    source=first_worker,
    target=second_worker,
)
def step_interrupt_move(context: Context, who: str) -> None:
    """When the shard's rows are copied, and it is not yet handed over."""
    world, handover = context.world, context.world.handover(MoveHandover)
    handover.left_before = left_behind(handover.tables.cluster)
    with handover.planned.start(handover.tables.cluster.write) as job:
        handover.job = job
        job.await_phase(COPIED, within=STATEMENT)
        fault = fault_of_move(world, who, handover.planned, job)
        world.experiment.inject(fault, fault.target_member or world.cluster.leader())
    world.evidence.attach("the move, step by step", "\n".join(map(str, job.steps)))


@when("one worker group is drained, and halfway {how:Break}")
@disturbs(loss_of_coordinator)
def step_interrupt_rebalance(context: Context, how: str) -> None:
    """When the rows of a shard are copied, and it is not yet handed over. The client that asked for it gets an error.

    At the end of the scenario the group may take shards again.
    """
    world, handover = context.world, context.world.handover(MoveHandover)
    own = handover.tables
    _let_one_be_emptied(world)
    handover.left_before = left_behind(own.cluster)
    with rebalance(own.cluster.write, quoted(own.tables[0]), drain_only=True) as job:
        break_off(world, job, how)
    world.evidence.attach("the rebalance, step by step", "\n".join(map(str, job.steps)))


@then("the move fails")
def step_move_fails(context: Context) -> None:
    """The client that asked for it gets an error."""
    job = context.world.handover(MoveHandover).job
    if job.error is None:
        raise Inconclusive("the move was complete before it was interrupted")
    context.world.evidence.attach("the error of the move", describe(job.error))


@then("within {seconds:g} seconds every shard and every row is where it was, and nothing of the move is left")
def step_as_before(context: Context, seconds: float) -> None:
    """Read on the leader of each group: shards, rows, and no subscription, publication, slot or role of the move.

    What earlier moves had left before is not counted.
    """
    handover = context.world.handover(MoveHandover)
    planned, own = handover.planned, handover.tables

    def unharmed() -> None:
        checks.as_before(planned.placements, own.placements).require()
        held = shards.held_on_nodes(own.cluster, own.tables)
        checks.each_on_one_live_node(planned.placements, held).require()
        _require_rows(handover)
        left = left_behind(own.cluster, handover.left_before)
        Finding(not left, f"the move has left behind: {left}").require()

    limit = context.world.limit(seconds, "recovery")
    _await(handover, unharmed, limit, "all is as before the move")


@then("within {seconds:g} seconds every row is on one worker, and nothing of the rebalance is left")
def step_settled(context: Context, seconds: float) -> None:
    """Read on the leader of each group: shards, rows, and no subscription, publication, slot or role of the moves.

    Shards that were moved before it was broken off may stay where they are. What earlier moves had left before is not
    counted.
    """
    handover = context.world.handover(MoveHandover)
    own = handover.tables

    def settled() -> None:
        placements = own.placements
        checks.each_on_one_live_node(placements, shards.held_on_nodes(own.cluster, own.tables)).require()
        checks.co_located_together(placements).require()
        _require_rows(handover)
        left = left_behind(own.cluster, handover.left_before)
        Finding(not left, f"the rebalance has left behind: {left}").require()

    limit = context.world.limit(seconds, "recovery", Span.BLACKOUT)
    _await(handover, settled, limit, "nothing of the rebalance is left")


@then("the same worker group is drained on the second attempt")
def step_drain_again(context: Context) -> None:
    """At the first attempt; then the group is empty, and every row is there, on one other worker."""
    world, handover = context.world, context.world.handover(MoveHandover)
    _rebalance(world, "draining, when it was repeated", drain_only=True)
    step_empty(context)
    handover.tables.require_in_order()
    _require_rows(handover)


@then("the same move works when it is retried")
def step_move_works(context: Context) -> None:
    """The shard and those co-located with it are on the other worker group, with every row, and nowhere else."""
    handover = context.world.handover(MoveHandover)
    planned, own = handover.planned, handover.tables
    with planned.start(own.cluster.write) as job:
        context.world.measure("the move took, when it was retried", job.require_done(), "s")
    shifted = sorted(map(str, checks.moved(planned.placements, own.placements)))
    lowest = next(one.lowest for one in planned.placements if one.shard == planned.shard)
    target = node_name(planned.target)
    wanted = sorted(f"{one.name} on {target}" for one in planned.placements if one.lowest == lowest)
    Finding(shifted == wanted, f"{shifted} were moved, but {wanted} should have been").require()
    own.require_in_order()
    _require_rows(handover)


def _await(handover: MoveHandover, state: Callable[[], object], limit: float, subject: str) -> None:
    """Wait for a state. If it is not reached, rows that are missing by then are lost, and not late."""
    try:
        eventually(state, within=limit, subject=subject, retry_on=NO_ANSWER)
    except NotInTime:
        with suppress(*NO_ANSWER):
            _require_rows(handover)
        raise


def _require_rows(handover: MoveHandover) -> None:
    found, before = handover.tables.rows, handover.planned.rows
    Finding(found == before, f"there are {found} entries, and there were {before}").require()
