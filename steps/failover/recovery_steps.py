"""How the cluster recovers: who leads, who is back, for how long clients could not work, and what was lost."""

from behave import step, then, when

from support.engine.recovery import (
    inject_until_replaced,
    require_all_streaming,
    require_interruption_under,
    require_ledger_on,
    require_ledger_whole,
    require_other_leader,
    require_rejoined,
    require_standby_replaced,
)
from support.engine.world import Context
from support.faults.process import Freeze, HostCrash
from support.faults.roles import host_of
from support.target.timing import Span


@step("another member leads")
def step_another_leads(context: Context) -> None:
    """Another member than the target one holds the leader key, and takes writes."""
    require_other_leader(context.world, context.world.timing.recovery)


@then("another member leads within {seconds:g} seconds")
def step_another_leads_within(context: Context, seconds: float) -> None:
    """Another member than the target one holds the leader key, and takes writes, in that time from the fault on."""
    require_other_leader(context.world, context.world.limit(seconds, Span.FAILOVER))


@then("the target member streams as a replica within {seconds:g} seconds")
def step_struck_member_streams(context: Context, seconds: float) -> None:
    """It streams from the leader on the leader's timeline, in that time from now on."""
    require_rejoined(context.world, context.world.limit(seconds, Span.REJOIN))


@then("clients are interrupted for less than {seconds:g} seconds")
def step_interruption(context: Context, seconds: float) -> None:
    """The longest time without an acknowledged write, from the fault until clients got through again."""
    require_interruption_under(context.world, context.world.limit(seconds))


@then("the {event} interrupts clients for less than {seconds:g} seconds")
def step_interruption_by(context: Context, event: str, seconds: float) -> None:
    """The same, where the cluster has to do something: `event` is failover, switchover, loss of a standby or loss of
    everything. A cluster whose own timing is longer is given what follows from it."""
    require_interruption_under(context.world, context.world.limit(seconds, Span(event)))


@then("the ledger lost no acknowledged write")
def step_nothing_lost(context: Context) -> None:
    """Every entry whose writing was acknowledged, before, during and after the fault, is read back, and only once.

    Where replication is asynchronous, by configuration or declared, and the leader was lost: all but what a failover
    may lose then.
    """
    require_ledger_whole(context.world)


@then("the target member holds every acknowledged entry of the ledger")
def step_struck_member_holds_ledger(context: Context) -> None:
    """Read on it, past the proxy, once it has replayed all that was written."""
    require_ledger_on(context.world, [context.world.experiment.target_member])


@then("every member holds every acknowledged entry of the ledger")
def step_every_member_holds_ledger(context: Context) -> None:
    """Read on each, past the proxy, once it has replayed all that was written."""
    require_ledger_on(context.world, context.world.cluster.members)


@when("the host of {role} is down until another member leads")
def step_down_until_replaced(context: Context, role: str) -> None:
    """It crashes, and is switched on again when another member took over."""
    host = host_of(context.world.cluster, role)
    inject_until_replaced(context.world, HostCrash(host), host.name)


@when("the host of {role} freezes until another member leads")
def step_frozen_until_replaced(context: Context, role: str) -> None:
    """Its programs stand still, and go on when another member took over."""
    host = host_of(context.world.cluster, role)
    inject_until_replaced(context.world, Freeze(host), host.name)


@then("commits wait for another standby within {seconds:g} seconds, and all who can tell agree")
def step_standby_replaced(context: Context, seconds: float) -> None:
    """The DCS, synchronous_standby_names and the leader's streams name another one, in that time from the fault on."""
    require_standby_replaced(context.world, context.world.limit(seconds, Span.STANDBY_LOSS))


@then("every replica streams on the timeline of the leader within {seconds:g} seconds")
def step_all_stream(context: Context, seconds: float) -> None:
    """All members but the leader, in that time from now on."""
    require_all_streaming(context.world, context.world.limit(seconds, Span.REJOIN))
