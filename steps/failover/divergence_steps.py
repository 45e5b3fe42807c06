"""What a cut-off leader writes alone, and what becomes of it."""

from behave import then, when
from hamcrest import assert_that, empty

from support.engine.world import Context
from support.failover.concurrent_leaders import holders_of_lone_entry, write_alone


@when("the leader, cut off from all other hosts, writes an entry alone")
def step_writes_alone(context: Context) -> None:
    """Past the proxy, in a session that does not wait for a standby; it is committed there, and nowhere else."""
    write_alone(context.world)


@then("the lone entry is on no member")
def step_lone_entry_is_gone(context: Context) -> None:
    """Each member is asked past the proxy: what the cluster never acknowledged must not come back."""
    assert_that(holders_of_lone_entry(context.world), empty(), "members that hold what the cut-off leader wrote alone")
