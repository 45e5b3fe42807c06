"""A leader whose clock jumps: whether it stays the leader."""

from behave import given, register_type, then, when

from support.engine.world import Context
from support.failover.handover import FailoverHandover
from support.failover.partition import require_unchanged, state_before_the_fault, watch_state
from support.failover.wrong_clock import require_leader_stays_where_promised, with_own_clock
from support.faults import clock
from support.target.leadership import lease, only_members

register_type(ClockJump=clock.JUMP)


@given("the Patroni of the leader has a clock that can be set")
def step_own_clock(context: Context) -> None:
    """The leader's Patroni is restarted with a clock of its own; its PostgreSQL runs on. It keeps that clock until all
    clients are done, because a restart of Patroni can interrupt them."""
    context.world.handover(FailoverHandover).clock = with_own_clock(context.world)


@when("that clock jumps {jump:ClockJump}")
def step_clock_jumps(context: Context, jump: str) -> None:
    """From one moment to the next."""
    world, handover = context.world, context.world.handover(FailoverHandover)
    handover.lease, handover.state_before_the_fault = lease(world.cluster), state_before_the_fault(world)
    world.experiment.inject(clock.ClockJumps(handover.clock, jump))


@then("the leader stays for {seconds:g} seconds")
def step_leader_stays(context: Context, seconds: float) -> None:
    """The same member is the primary, on the same timeline. A replica may leave the read endpoint for a moment."""
    world = context.world
    before, looks = world.handover(FailoverHandover).state_before_the_fault, watch_state(world, seconds)
    require_unchanged(world, only_members(before), [only_members(look) for look in looks])


@then("the leader stays for longer than its lock lasts, where the cluster promises it")
def step_leader_stays_where_promised(context: Context) -> None:
    """The same member is the primary, on the same timeline, and its lock never expires. If it does, or another member
    takes over, that is a known limit, unless [expect] clock_jumps declares more."""
    world, handover = context.world, context.world.handover(FailoverHandover)
    require_leader_stays_where_promised(world, handover.state_before_the_fault, handover.lease)
