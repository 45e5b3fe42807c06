"""Who takes over from a leader when the replicas are not equal."""

from behave import given, then, when
from hamcrest import assert_that, equal_to, is_not

from support.engine.recovery import require_other_leader
from support.engine.world import Context
from support.failover import succession
from support.failover.handover import FailoverHandover
from support.failover.succession import LOSSES, hold_back, let_one_lag, lose_leaders
from support.faults.declared import disturbs
from support.faults.patroni import asynchronous, paused
from support.target.timing import Span
from support.vocabulary import Kind, columns

LOSS = Kind.of("way to lose a leader", LOSSES)


@given("commits wait for no standby")
def step_asynchronous(context: Context) -> None:
    """Synchronous replication is off until the scenario ends: any replica may then take over."""
    context.world.experiment.prepare(asynchronous(context.world.cluster))


@given("failover is paused")
def step_paused(context: Context) -> None:
    """Patroni is in maintenance mode until the scenario ends."""
    context.world.experiment.prepare(paused(context.world.cluster))


@given("no replica receives what the leader writes")
@disturbs(succession.cuts_of_all)
def step_all_are_behind(context: Context) -> None:
    """What the leader sends no longer arrives anywhere; every replica lacks some WAL by now."""
    hold_back(context.world)


@given("one replica lacks WAL that the others have received")
@disturbs(succession.cut_of_one, "a replica chosen at random", replicas=succession.unequal_replicas)
def step_one_is_behind(context: Context) -> None:
    """What the leader sends to it no longer arrives; it lacks some WAL by now, far less than the allowed lag."""
    context.world.handover(FailoverHandover).unequal_replicas = let_one_lag(context.world)


@given("the other replicas are tagged nofailover")
@disturbs(
    succession.bars_of_others,
    "each replica that may lead but the one that was chosen to lack WAL",
    replicas=succession.unequal_replicas,
)
def step_others_are_barred(context: Context) -> None:
    """By the "nofailover" tag in their own configuration; the whole cluster knows it by now.

    The replica that lacks WAL does not lack so much of it that it could not take over.
    """
    world = context.world
    replicas = world.handover(FailoverHandover).unequal_replicas
    for fault in succession.bars_of_others(world.cluster, replicas):
        world.experiment.prepare(fault)
    succession.require_may_lead(world.cluster, replicas)


@when("one leader after another is lost, each replaced and back before the next")
@columns({"how": LOSS})
@disturbs(succession.loss_of_leader, "the member that leads by then")
def step_lose_leaders(context: Context) -> None:
    """Unplanned, each in the way that its row names; the next one only when a replica could take over from it."""
    lose_leaders(context.world, [row["how"] for row in context.table.rows])


@then("a replica that has received everything leads within {seconds:g} seconds")
def step_best_leads(context: Context, seconds: float) -> None:
    """Not the replica that lacks WAL."""
    world = context.world
    require_other_leader(world, world.limit(seconds, "leader", Span.FAILOVER))
    behind = world.handover(FailoverHandover).unequal_replicas.behind
    assert_that(world.cluster.leader(), is_not(equal_to(behind)), "who took over")


@then("the replica that lacks WAL leads within {seconds:g} seconds")
def step_worst_leads(context: Context, seconds: float) -> None:
    """None of the replicas that are tagged never to lead takes over."""
    world = context.world
    require_other_leader(world, world.limit(seconds, "leader", Span.FAILOVER))
    behind = world.handover(FailoverHandover).unequal_replicas.behind
    assert_that(world.cluster.leader(), equal_to(behind), "who took over")
