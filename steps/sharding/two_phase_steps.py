"""The two phases of a commit over two workers, and what dies in them."""

from behave import given, then, when

from support.engine.world import Context
from support.sharding import two_phase


@given("a transaction that has written to two workers")
def step_open_on_two_workers(context: Context) -> None:
    """Through the write endpoint; it is seen to be open on both, and is not committed."""
    two_phase.begin(context.world)


@when("{what} of one of the two dies {moment}")
def step_dies(context: Context, what: str, moment: str) -> None:
    """The client commits; a leader of a worker group dies before that, after it, or when both have prepared."""
    two_phase.die(context.world, what, moment)


@then("within {seconds:g} seconds no transaction is in doubt on any node")
def step_none_in_doubt(context: Context, seconds: float) -> None:
    """Every node answers and holds no prepared transaction, in that time from the death on."""
    two_phase.require_resolved(context.world, context.world.limit(seconds))


@then("the transaction is on both workers or on none, as its client was told")
def step_whole_or_nowhere(context: Context) -> None:
    """Read in the shards of each worker, on its leader."""
    two_phase.require_whole_or_nowhere(context.world)
