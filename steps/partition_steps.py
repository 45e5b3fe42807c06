"""Cut and slow networks, and a DCS that loses its members: who may write meanwhile, and what must not change."""

from behave import given, then, when

from support.cluster.lease import lease
from support.cluster.reign import affairs, only_primary
from support.cluster.timing import Span
from support.faults import isolation
from support.faults.modes import without_failsafe
from support.trials.endurance import (
    look_on,
    require_accepted_again,
    require_lock_renewed,
    require_one_writer_at_a_time,
    require_stopped_within,
    require_unchanged,
)


@given("no leader may go on without the DCS")
def step_without_failsafe(context):
    """Patroni's failsafe mode is off, until the scenario ends."""
    world = context.world
    world.ordeal.strike(without_failsafe(world.cluster), world.cluster.leader())


@when("the leader is cut off from {others}")
def step_leader_cut_off(context, others):
    """Nothing gets from its host to theirs, nor back. `others` are named in support/faults/isolation.py."""
    world = context.world
    world.scene["lease"] = lease(world.cluster)
    world.ordeal.strike(isolation.of_leader(world.cluster, others), world.cluster.leader())


@when("{part} of the DCS crashes")
def step_dcs_crashes(context, part):
    """The hosts of some of its members are gone at once. `part` is "the leading member" or "a majority"."""
    world = context.world
    world.scene.update(lease=lease(world.cluster), before=affairs(world.cluster))
    world.ordeal.strike(isolation.crash_in_dcs(world.cluster, part), world.cluster.leader())


@when("every link between the hosts {worsens}")
def step_links_worsen(context, worsens):
    """Each way between any two hosts; the suite's own way to them is as before."""
    world = context.world
    world.scene["before"] = affairs(world.cluster)
    world.ordeal.strike(isolation.poor_links(world.cluster, worsens), world.cluster.leader())


@then("the struck member stops accepting writes before its lock runs out")
def step_stops_in_time(context):
    """By the looks at it, past the proxy; the lock is taken to have been renewed as long ago as is possible."""
    require_stopped_within(context.world, context.world.scene["lease"].least_left)


@then("at no time did two members accept writes")
def step_one_writer(context):
    """Every member was asked all the time whether it would take a write, past the proxy."""
    require_one_writer_at_a_time(context.world)


@then("nothing flaps for {seconds:g} seconds")
def step_nothing_flaps(context, seconds):
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world = context.world
    require_unchanged(world, world.scene["before"], look_on(world, seconds))


@then("the leader stays for {seconds:g} seconds")
def step_leader_stays(context, seconds):
    """The same member is the primary, on the same timeline. A replica may leave the read endpoint for a moment."""
    world = context.world
    before, looks = world.scene["before"], look_on(world, seconds)
    require_unchanged(world, only_primary(before), [only_primary(look) for look in looks])


@then("nothing flaps for longer than the leader's lock lasts")
def step_nothing_flaps_for_a_lease(context):
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world = context.world
    require_unchanged(world, world.scene["before"], look_on(world, world.scene["lease"].surely_gone))


@then("the leader renews its lock all the same")
def step_lock_renewed(context):
    """What it writes to the DCS arrives there."""
    require_lock_renewed(context.world)


@then("nothing has changed")
def step_nothing_changed(context):
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world = context.world
    require_unchanged(world, world.scene["before"], look_on(world, 0))


@then("once the fault is healed, writes are accepted again within {seconds:g} seconds")
def step_accepted_again(context, seconds):
    """Clients get through to a leader, in that time from the healing on."""
    world = context.world
    require_accepted_again(world, world.ordeal.nemesis.heal, world.limit(seconds, Span.RETURN))
