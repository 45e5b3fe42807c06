"""Transactions over several workers: taken back, and blocked by one another."""

from behave import given, then, when

from support.engine.world import Context
from support.sharding import cross_worker


@given("a transaction that has stored, changed and removed entries on several workers")
def step_open_over_workers(context: Context) -> None:
    """Through the write endpoint; it is seen to be open on more than one worker, and is not committed."""
    cross_worker.write_over_workers(context.world)


@when("the transaction rolls back")
def step_roll_back_over_workers(context: Context) -> None:
    """The session takes back all that it has written."""
    context.world.sessions[0].rollback()


@then("each worker holds what it held before")
def step_as_before(context: Context) -> None:
    """Read in the shards of each worker, on its leader, at once."""
    cross_worker.require_as_before(context.world)


@given("two sessions that have each changed an entry, on a worker of its own")
def step_two_sessions(context: Context) -> None:
    """The two entries are seen to lie on different workers; neither change is committed."""
    cross_worker.lock_crosswise(context.world)


@when("each of them goes on to change the other's entry")
def step_go_on_crosswise(context: Context) -> None:
    """Both at the same time, and then they commit: no worker alone can see that they wait for each other."""
    cross_worker.go_on_crosswise(context.world)


@then("exactly one is cancelled because of the deadlock, within {seconds:g} seconds")
def step_one_victim(context: Context, seconds: float) -> None:
    """The other one is not, and gets its way in that time."""
    cross_worker.require_one_victim(context.world, context.world.limit(seconds))


@then("both entries are as the other one committed them")
def step_as_survivor(context: Context) -> None:
    """Read in the shards of each worker, on its leader."""
    cross_worker.require_survivors_values(context.world)
