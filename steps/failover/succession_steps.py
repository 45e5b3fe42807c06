"""Who takes over from a leader, when the replicas are not equal."""

from behave import given, then, when
from hamcrest import assert_that, equal_to, is_in

from support.engine.recovery import require_other_leader
from support.engine.world import Context
from support.failover.concurrent_leaders import bar, outrun, part
from support.failover.series import lose_leaders
from support.faults.patroni import asynchronous, paused
from support.target.timing import Span


@given("commits wait for no standby")
def step_asynchronous(context: Context) -> None:
    """Synchronous replication is off until the scenario ends: any replica may take over then."""
    context.world.experiment.nemesis.inject(asynchronous(context.world.cluster))


@given("failover is paused")
def step_paused(context: Context) -> None:
    """Patroni is in maintenance mode until the scenario ends."""
    context.world.experiment.nemesis.inject(paused(context.world.cluster))


@given("no replica receives what the leader writes")
def step_all_are_behind(context: Context) -> None:
    """What the leader sends arrives nowhere any more; every replica lacks some by now."""
    outrun(context.world)


@given("one replica lacks what the others have received")
def step_one_is_behind(context: Context) -> None:
    """What the leader sends to it does not arrive any more; it lacks some by now, far less than is tolerated."""
    context.world.scene["rivals"] = part(context.world)


@given("those others are tagged never to lead")
def step_others_are_barred(context: Context) -> None:
    """By "nofailover" in their own configuration; the whole cluster knows of it by now."""
    bar(context.world, context.world.scene["rivals"])


@then("one that has received everything leads within {seconds:g} seconds")
def step_best_leads(context: Context, seconds: float) -> None:
    """Not the replica that lacks some."""
    require_other_leader(context.world, context.world.limit(seconds, Span.FAILOVER))
    assert_that(context.world.cluster.leader(), is_in(context.world.scene["rivals"].ahead), "who took over")


@then("the one that lacks some leads within {seconds:g} seconds")
def step_worst_leads(context: Context, seconds: float) -> None:
    """None of those who are tagged never to lead."""
    require_other_leader(context.world, context.world.limit(seconds, Span.FAILOVER))
    assert_that(context.world.cluster.leader(), equal_to(context.world.scene["rivals"].behind), "who took over")


@when("one leader after another is lost, each replaced and back before the next")
def step_lose_leaders(context: Context) -> None:
    """Unplanned, each in the way of its row; the next one only when a replica could take over from it."""
    lose_leaders(context.world, [row["how"] for row in context.table.rows])
