"""Cut and slow networks, and a DCS that loses its members: who may write meanwhile, and what must not change."""

from behave import given, then, when

from support.engine.world import Context
from support.failover.endurance import (
    look_on,
    require_accepted_again,
    require_lock_renewed,
    require_one_writer_at_a_time,
    require_stopped_within,
    require_unchanged,
)
from support.faults import network
from support.faults.patroni import without_failsafe
from support.target.leadership import cluster_state, lease, only_primary
from support.target.timing import Span


@given("no leader may go on without the DCS")
def step_without_failsafe(context: Context) -> None:
    """Patroni's failsafe mode is off, until the scenario ends."""
    world = context.world
    world.experiment.inject(without_failsafe(world.cluster), world.cluster.leader())


@when("the leader is cut off from {others}")
def step_leader_cut_off(context: Context, others: str) -> None:
    """Nothing gets from its host to theirs, nor back. `others` are named in support/faults/network.py."""
    world = context.world
    world.scene["lease"] = lease(world.cluster)
    world.experiment.inject(network.of_leader(world.cluster, others), world.cluster.leader())


@when("{part} of the DCS crashes")
def step_dcs_crashes(context: Context, part: str) -> None:
    """The hosts of some of its members are gone at once. `part` is "the leading member" or "a majority"."""
    world = context.world
    world.scene.update(lease=lease(world.cluster), before=cluster_state(world.cluster))
    world.experiment.inject(network.crash_in_dcs(world.cluster, part), world.cluster.leader())


@when("every link between the hosts {worsens}")
def step_links_worsen(context: Context, worsens: str) -> None:
    """Each way between any two hosts; the suite's own way to them is as before."""
    world = context.world
    world.scene["before"] = cluster_state(world.cluster)
    world.experiment.inject(network.poor_links(world.cluster, worsens), world.cluster.leader())


@then("the target member stops accepting writes before its lock runs out")
def step_stops_in_time(context: Context) -> None:
    """By the looks at it, past the proxy; the lock is taken to have been renewed as long ago as is possible."""
    require_stopped_within(context.world, context.world.scene["lease"].least_left)


@then("at no time did two members accept writes")
def step_one_writer(context: Context) -> None:
    """Every member was asked all the time whether it would take a write, past the proxy."""
    require_one_writer_at_a_time(context.world)


@then("nothing flaps for {seconds:g} seconds")
def step_nothing_flaps(context: Context, seconds: float) -> None:
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world = context.world
    require_unchanged(world, world.scene["before"], look_on(world, seconds))


@then("the leader stays for {seconds:g} seconds")
def step_leader_stays(context: Context, seconds: float) -> None:
    """The same member is the primary, on the same timeline. A replica may leave the read endpoint for a moment."""
    world = context.world
    before, looks = world.scene["before"], look_on(world, seconds)
    require_unchanged(world, only_primary(before), [only_primary(look) for look in looks])


@then("nothing flaps for longer than the leader's lock lasts")
def step_nothing_flaps_for_a_lease(context: Context) -> None:
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world = context.world
    require_unchanged(world, world.scene["before"], look_on(world, world.scene["lease"].surely_gone))


@then("the leader renews its lock all the same")
def step_lock_renewed(context: Context) -> None:
    """What it writes to the DCS arrives there."""
    require_lock_renewed(context.world)


@then("nothing has changed")
def step_nothing_changed(context: Context) -> None:
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world = context.world
    require_unchanged(world, world.scene["before"], look_on(world, 0))


@then("once the fault is healed, writes are accepted again within {seconds:g} seconds")
def step_accepted_again(context: Context, seconds: float) -> None:
    """Clients get through to a leader, in that time from the healing on."""
    world = context.world
    require_accepted_again(world, world.experiment.nemesis.heal, world.limit(seconds, Span.RETURN))
