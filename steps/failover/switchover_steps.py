"""Planned switchovers: the leader is asked to hand over, and does, or says why not."""

from behave import given, then, when
from hamcrest import assert_that, equal_to

from support.engine.tables import rows_of
from support.engine.world import Context
from support.failover.switchover import (
    ask_each_of,
    break_off,
    candidate,
    require_left_alone,
    require_none_pending,
    require_refused_for,
)
from support.faults.patroni import Switchover
from support.faults.process import HostCrash
from support.faults.roles import host_of


@given("the host of {role} is down")
def step_host_is_down(context: Context, role: str) -> None:
    """It has crashed, and stays off until the scenario ends."""
    host = host_of(context.world.cluster, role)
    context.world.experiment.inject(HostCrash(host), host.name)


@when("the leader is asked to hand over to {whom}")
def step_hand_over(context: Context, whom: str) -> None:
    """By Patroni's REST API, to "any replica" or to the one in that role; it has answered that this is done."""
    order = Switchover(context.world.cluster, candidate(context.world.cluster, whom))
    context.world.experiment.inject(order, order.leader)
    context.world.scene["named"] = order.candidate


@then("the named member leads")
def step_named_leads(context: Context) -> None:
    """The one that the leader was asked to hand over to holds the leader key."""
    assert_that(context.world.cluster.leader(), equal_to(context.world.scene["named"]), "the leader now")


@when("switchovers are asked for to those who cannot lead")
def step_hand_over_in_vain(context: Context) -> None:
    """By Patroni's REST API, to each of the table, one after the other."""
    context.world.scene["replies"] = ask_each_of(context.world, rows_of(context.table))


@then("each time the answer is a refusal with a reason")
def step_refused(context: Context) -> None:
    """Patroni did not take the order, and its words hold those of the table."""
    replies = context.world.scene["replies"]
    require_refused_for(replies, {who: row["reason speaks of"] for who, row in rows_of(context.table).items()})


@then("the leader leads on, and no switchover is pending")
def step_leads_on(context: Context) -> None:
    """The same member as before holds the leader key, and the DCS holds no order that could still be carried out."""
    require_left_alone(context.world)


@when("{who} dies while the leader hands over")
def step_orchestrator_dies(context: Context, who: str) -> None:
    """By kill -9, as soon as the DCS holds the order: "the client that ordered it", or "the Patroni of the leader"."""
    break_off(context.world, who)


@then("no switchover is pending")
def step_none_pending(context: Context) -> None:
    """The DCS holds no order to hand over that could still be carried out."""
    require_none_pending(context.world)
