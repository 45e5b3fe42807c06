"""Partitions, poor links, and a DCS that loses its members: who may write meanwhile, and what must not change."""

from behave import given, register_type, then, when
from hamcrest import assert_that, empty

from support.engine import markers
from support.engine.checks.writers import at_most_one_writer
from support.engine.recovery import caught_up, require_replaced
from support.engine.safety import safety
from support.engine.world import Context
from support.failover.handover import FailoverHandover
from support.failover.partition import (
    UNREPLICATED,
    commit_unreplicated,
    lock_before,
    require_lock_renewed,
    require_refusing_until_healed,
    require_stopped,
    require_unchanged,
    state_before_the_fault,
    watch_state,
)
from support.faults import network
from support.faults.declared import disturbs
from support.faults.patroni import without_failsafe
from support.target.leadership import lease

register_type(
    Others=network.OTHERS, PartOfDcs=network.PART_OF_DCS, DcsLink=network.DCS_LINK, Degradation=network.DEGRADATION
)


@given("failsafe mode is off")
def step_without_failsafe(context: Context) -> None:
    """Patroni's failsafe_mode is off until the scenario ends: no leader may go on without the DCS."""
    context.world.experiment.prepare(without_failsafe(context.world.cluster))


@when("the leader is cut off from {others:Others}")
@disturbs(network.partition_of_leader)
def step_leader_cut_off(context: Context, others: str) -> None:
    """No packet gets from its host to theirs, nor back."""
    world = context.world
    world.handover(FailoverHandover).lock_before_the_fault = lock_before(world.cluster)
    world.experiment.inject(network.partition_of_leader(world.cluster, others))


@when("the leader commits an entry that no other host can receive")
@disturbs(network.partition_of_leader, others=network.ALONE)
def step_commits_unreplicated(context: Context) -> None:
    """Cut off from all other hosts, it commits in a session that bypasses the proxy and waits for no standby."""
    context.world.handover(FailoverHandover).unreplicated = commit_unreplicated(context.world)


@when("{part:PartOfDcs} of the DCS crashes")
@disturbs(network.crash_in_dcs)
def step_dcs_crashes(context: Context, part: str) -> None:
    """The hosts of some of its members are gone at once."""
    world, handover = context.world, context.world.handover(FailoverHandover)
    handover.lease, handover.state_before_the_fault = lease(world.cluster), state_before_the_fault(world)
    handover.lock_before_the_fault = lock_before(world.cluster)
    world.experiment.inject(network.crash_in_dcs(world.cluster, part), world.cluster.leader())


@when("no packet passes {link:DcsLink}")
@disturbs(network.broken_link_of_dcs)
def step_dcs_link_breaks(context: Context, link: str) -> None:
    """Both still reach all other members of the DCS, and everybody else reaches both."""
    world, handover = context.world, context.world.handover(FailoverHandover)
    handover.lease, handover.state_before_the_fault = lease(world.cluster), state_before_the_fault(world)
    world.experiment.inject(network.broken_link_of_dcs(world.cluster, link), world.cluster.leader())


@when("every link between the hosts {degradation:Degradation}")
@disturbs(network.poor_links)
def step_links_degrade(context: Context, degradation: str) -> None:
    """In both directions; the suite's own links stay as they are."""
    world = context.world
    world.handover(FailoverHandover).state_before_the_fault = state_before_the_fault(world)
    world.experiment.inject(network.poor_links(world.cluster, degradation), world.cluster.leader())


@then("the former leader stops accepting writes before its lock expires")
def step_stops_in_time(context: Context) -> None:
    """Judged by probes that bypass the proxy, until the lock has surely expired.

    etcd tells when the lock was last renewed. Any other DCS gives only bounds: at the earliest one loop_wait before the
    fault, at the latest when the fault took effect.
    """
    require_stopped(context.world, context.world.handover(FailoverHandover).lock_before_the_fault)


@then("the former leader accepts no further write until the fault is healed")
def step_refuses_until_healed(context: Context) -> None:
    """From its first refusal on, by probes that bypass the proxy. If the fault still lasts, it is healed now."""
    require_refusing_until_healed(context.world)


@then("at no time did two members accept writes")
@safety
def step_one_writer(context: Context) -> None:
    """Every member was asked all the time, past the proxy, whether it would accept a write.

    Inconclusive if a member that was neither off nor frozen gave no answer for some seconds: it may have led meanwhile.
    """
    world, experiment = context.world, context.world.experiment
    finding = at_most_one_writer(experiment.watch.samples, world.cluster.members, experiment.coverage)
    world.evidence.attach("writers", finding.words)
    finding.require()


@then("no member has that entry")
@safety
def step_unreplicated_entry_is_gone(context: Context) -> None:
    """Each member is asked past the proxy: what the cluster never acknowledged must not come back.

    Inconclusive if no other member led meanwhile: then the entry is rightly there.
    """
    world, namespace = context.world, context.world.handover(FailoverHandover).unreplicated
    require_replaced(world)
    places = caught_up(world, world.cluster.members)
    holding = [one for one in places if markers.is_there(places[one], world.profile, namespace, UNREPLICATED)]
    assert_that(holding, empty(), "members that hold what the cut-off leader committed alone")


@then("the leader and the routing stay unchanged for {seconds:g} seconds")
def step_unchanged_for(context: Context, seconds: float) -> None:
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world = context.world
    before = world.handover(FailoverHandover).state_before_the_fault
    require_unchanged(world, before, watch_state(world, seconds))


@then("the leader and the routing stay unchanged for longer than the leader's lock lasts")
def step_unchanged_for_a_lease(context: Context) -> None:
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world, handover = context.world, context.world.handover(FailoverHandover)
    require_unchanged(world, handover.state_before_the_fault, watch_state(world, handover.lease.surely_gone))


@then("the leader and the routing are unchanged")
def step_unchanged(context: Context) -> None:
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world = context.world
    require_unchanged(world, world.handover(FailoverHandover).state_before_the_fault, watch_state(world, 0))


@then("once the fault is healed, the leader and the routing stay unchanged for {seconds:g} seconds")
def step_unchanged_when_healed(context: Context, seconds: float) -> None:
    """The same member leads on the same timeline, and both endpoints lead where they led before the fault."""
    world = context.world
    world.experiment.heal()
    require_unchanged(world, world.handover(FailoverHandover).state_before_the_fault, watch_state(world, seconds))


@then("the leader still renews its lock")
def step_lock_renewed(context: Context) -> None:
    """What it writes to the DCS arrives there."""
    require_lock_renewed(context.world)
