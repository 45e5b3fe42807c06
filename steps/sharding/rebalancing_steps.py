"""Shards that are moved: drained, rebalanced, and moves that are broken."""

from behave import given, then, when

from support.engine.world import Context
from support.sharding import broken_move, rebalancing


@given("two tables of {count:d} shards that lie together, and a client that writes to each shard")
def step_tables_with_clients(context: Context, count: int) -> None:
    """Tables of the scenario's own; the clients append to ledgers without an end until the scenario ends."""
    rebalancing.make_tables(context.world, count)
    rebalancing.start_clients(context.world)


@given("two tables of {count:d} shards that lie together, one of them with {rows:d} rows")
def step_tables_with_rows(context: Context, count: int, rows: int) -> None:
    """Tables of the scenario's own; the rows are in one shard, the others have a few."""
    rebalancing.make_tables(context.world, count)
    broken_move.fill(context.world, rows)


@given("a worker group that has none of them")
def step_drained_before(context: Context) -> None:
    """It was drained just now, and is empty."""
    rebalancing.drain(context.world)
    rebalancing.require_empty(context.world)


@when("one worker group is drained of them")
def step_drain(context: Context) -> None:
    """It is told to have no shards, and those of these tables are moved away."""
    rebalancing.drain(context.world)


@when("it takes shards, and they are rebalanced")
def step_rebalance(context: Context) -> None:
    """The shards of these tables, by their number."""
    rebalancing.rebalance_again(context.world)


@then("it has none of their shards")
def step_empty(context: Context) -> None:
    """By Citus' word, and read among its own tables."""
    rebalancing.require_empty(context.world)


@then("shards that belong together are together")
def step_together(context: Context) -> None:
    """And each is on one node alone, read on the leader of each group."""
    rebalancing.require_in_order(rebalancing.own_tables(context.world))


@then("the {count:d} shards of each table are spread over all workers, and those that belong together are together")
def step_balanced(context: Context, count: int) -> None:
    """Some were moved; each is on one node alone, read on the leader of each group."""
    rebalancing.require_balanced(context.world, count)


@then("no write that was acknowledged meanwhile is lost")
def step_nothing_lost(context: Context) -> None:
    """Every client wrote while shards were moved; all of it is read back, once."""
    rebalancing.require_ledgers_whole(context.world)


@then("a further rebalance moves nothing")
def step_nothing_moves(context: Context) -> None:
    """The shards are balanced."""
    rebalancing.require_nothing_moves(context.world)


@when("it is moved to another worker group, and half-way {victim} is killed")
def step_break_move(context: Context, victim: str) -> None:
    """When its rows are copied, and it is not yet handed over."""
    broken_move.break_half_way(context.world, victim)


@then("the move fails")
def step_move_fails(context: Context) -> None:
    """Who asked for it is told."""
    broken_move.require_failed(context.world)


@then("within {seconds:g} seconds every shard and every row is where it was, and nothing of the move is left")
def step_as_before(context: Context, seconds: float) -> None:
    """Read on the leader of each group: shards, rows, and no subscription, publication, slot or role of the move."""
    broken_move.require_as_before(context.world, context.world.limit(seconds))


@then("the same move works when it is asked for again")
def step_move_works(context: Context) -> None:
    """The shard and its relative are on the other worker group, with every row, and nowhere else."""
    broken_move.require_moved(context.world)
