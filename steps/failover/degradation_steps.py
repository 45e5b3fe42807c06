"""A degraded cluster: no replica is left, answers are lost, a proxy restarts, a server hangs."""

from behave import given, then, when

from support.engine.recovery import require_accepted_again
from support.engine.safety import safety
from support.engine.world import Context
from support.failover.degradation import (
    await_answers_lost,
    require_each_applied_once,
    require_each_reader_served,
    require_no_write_acknowledged,
)
from support.faults.declared import disturbs, leaves_hosts
from support.faults.network import lost_answers
from support.faults.patroni import strictly_synchronous
from support.target.timing import Span


@given("commits wait for a standby even when there is none")
def step_strictly_synchronous(context: Context) -> None:
    """Patroni's synchronous_mode_strict is on until the scenario ends."""
    context.world.experiment.prepare(strictly_synchronous(context.world.cluster))


@when("the leader's answers are lost on the way to its clients")
@disturbs(lost_answers)
def step_answers_lost(context: Context) -> None:
    """Requests reach the leader and are carried out; none of its answers gets back to the proxy."""
    world, fault = context.world, lost_answers(context.world.cluster)
    world.experiment.inject(fault, fault.source)
    await_answers_lost(world)


@then("each reader is answered again within {seconds:g} seconds")
def step_readers_served(context: Context, seconds: float) -> None:
    """No reader went longer without an answer, from the fault on, and every answer was right."""
    world = context.world
    require_each_reader_served(world, world.limit(seconds, "readers", Span.READER))


@then("no write is acknowledged meanwhile")
def step_no_write_acknowledged(context: Context) -> None:
    """None of the writes that clients have tried since the fault is acknowledged."""
    require_no_write_acknowledged(context.world)


@then("each operation was applied exactly once")
@safety
def step_each_applied_once(context: Context) -> None:
    """By the receipt that each left, with its number: none is missing, doubled or overtaken, and the counter agrees."""
    require_each_applied_once(context.world)


@then("once the fault is healed, writes are accepted again within {seconds:g} seconds")
def step_accepted_again(context: Context, seconds: float) -> None:
    """Clients get through to a leader, in that time from the healing on."""
    world = context.world
    require_accepted_again(world, world.experiment.heal, world.limit(seconds, "return", Span.RETURN))


@then("once a replica is back, writes are accepted again within {seconds:g} seconds")
@leaves_hosts("it undoes what an earlier step did")
def step_accepted_with_a_replica(context: Context, seconds: float) -> None:
    """One of the crashed hosts is switched on; clients get through in that time from then on."""
    world = context.world
    replica = world.cluster.site.hosts[world.experiment.target_member]
    require_accepted_again(world, replica.power_on, world.limit(seconds, "return", Span.RETURN))
