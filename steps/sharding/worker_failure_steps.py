"""Groups of workers under faults: who goes on, who is told what, and what is whole afterwards."""

from behave import given, then, when

from support.engine.world import Context
from support.faults.patroni import Switchover
from support.sharding import workers
from support.target.timing import Span


@given("{clients:d} clients appending to a ledger on worker group {group:d}")
def step_ledger_on_group(context: Context, clients: int, group: int) -> None:
    """All entries of that ledger lie on that group; the clients write through the write endpoint, without a pause."""
    workers.start_ledger(context.world, group, clients)


@given("{clients:d} clients transferring between accounts on different worker groups")
def step_transfers(context: Context, clients: int) -> None:
    """Each transfer takes from one account and gives to another, in one transaction, until the scenario ends."""
    workers.start_transfers(context.world, clients)


@when("the leader of worker group {group:d} is asked to hand over to any replica")
def step_worker_hands_over(context: Context, group: int) -> None:
    """By Patroni's REST API; it has answered that this is done."""
    order = Switchover(context.world.cluster.of_group(group))
    context.world.experiment.inject(order, order.leader)


@when("PostgreSQL alone is killed, one after the other, on")
def step_killed_in_turn(context: Context) -> None:
    """Each of the table, the next one as soon as clients get through again."""
    workers.kill_in_turn(context.world, [row["who"] for row in context.table.rows])


@then("a write to worker group {group:d} is refused within {seconds:g} seconds, with an error that names its node")
def step_write_is_refused(context: Context, group: int, seconds: float) -> None:
    """Asked once, in a new session; the client learns which server could not be reached."""
    workers.require_refused(context.world, group, context.world.limit(seconds))


@then("what lies on worker group {group:d} is read within {seconds:g} seconds")
def step_group_is_read(context: Context, group: int, seconds: float) -> None:
    """All entries of its ledger, in a new session through the write endpoint."""
    workers.require_readable(context.world, group, seconds)


@then("the clients of worker group {group:d} are interrupted for less than {seconds:g} seconds")
def step_group_interruption(context: Context, group: int, seconds: float) -> None:
    """The longest time without an acknowledged write on that group, from the fault on; they get through now."""
    workers.require_ledger_served(context.world, group, context.world.limit(seconds))


@then("the {event} interrupts the clients of worker group {group:d} for less than {seconds:g} seconds")
def step_group_interruption_by(context: Context, event: str, group: int, seconds: float) -> None:
    """The same, where the group has to do something: `event` is failover or switchover."""
    workers.require_ledger_served(context.world, group, context.world.limit(seconds, Span(event)))


@then("no ledger lost an acknowledged write")
def step_no_ledger_lost(context: Context) -> None:
    """Every entry that was acknowledged, on whichever group, is read back, and only once."""
    for group in workers.ledgers(context.world):
        workers.require_ledger_kept(context.world, group)


@then("every node knows the new leader of worker group {group:d} within {seconds:g} seconds")
def step_address_is_known(context: Context, group: int, seconds: float) -> None:
    """By pg_dist_node, read directly on the leader of each group: its address, and that it is active."""
    workers.require_address_known(context.world, group, context.world.limit(seconds, Span.NODES))


@then("within {seconds:g} seconds nothing is in doubt, and each transfer happened on both accounts or on neither")
def step_transfers_are_whole(context: Context, seconds: float) -> None:
    """No prepared transaction is left on any node; acknowledged transfers happened, failed ones did not."""
    workers.require_transfers_whole(context.world, context.world.limit(seconds))
