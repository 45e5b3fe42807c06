"""The endpoints under faults: a replica that must leave the reads, sessions that must not be left hanging."""

from behave import given, then, when

from support.engine.world import Context
from support.failover.routing import (
    cut_stream,
    hold_sessions,
    let_fall_behind,
    require_back_in_reads,
    require_hung_up,
    require_out_of_reads,
)
from support.faults.roles import member_by_role
from support.target.timing import Span


@given("{count:d} idle sessions through the write endpoint")
def step_idle_sessions(context: Context, count: int) -> None:
    """Held open until the scenario ends, each on the leader, and none is ever used."""
    hold_sessions(context.world, count)


@when("a replica falls further behind than is allowed")
def step_falls_behind(context: Context) -> None:
    """It replays nothing more, while the leader writes twice as much as a replica may be behind."""
    let_fall_behind(context.world, member_by_role(context.world.cluster, "a replica"))


@when("a replica loses its stream")
def step_loses_stream(context: Context) -> None:
    """Nothing gets from it to the leader, nor back; everybody else reaches both."""
    cut_stream(context.world, member_by_role(context.world.cluster, "a replica"))


@then("the target member leaves the read endpoint within {seconds:g} seconds")
def step_leaves_reads(context: Context, seconds: float) -> None:
    """New sessions there land on others, in that time from the fault on."""
    require_out_of_reads(context.world, context.world.limit(seconds, Span.READ_ROUTING))


@then("once the fault is healed, it is back in the read endpoint within {seconds:g} seconds")
def step_back_in_reads(context: Context, seconds: float) -> None:
    """New sessions there land on it too, in that time from the healing on."""
    require_back_in_reads(context.world, context.world.limit(seconds, Span.READ_ROUTING))


@then("each of these sessions is cut within {seconds:g} seconds")
def step_sessions_cut(context: Context, seconds: float) -> None:
    """Its client hears so, in that time from the fault on: it need not wait for a dead line to run into a timeout."""
    require_hung_up(context.world, context.world.limit(seconds, Span.HANGUP))
