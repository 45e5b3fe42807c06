"""Those who have no login, and give orders all the same."""

from behave import given, then, when

from support.checkers.refusals import all_refused
from support.checkers.table import rows_of
from support.cluster import orders_of_strangers


@given("every Patroni takes orders with the right login")
def step_patroni_open_to_owner(context):
    """On every member, so that a refusal means something."""
    orders_of_strangers.require_patroni_open_to_owner(context.world.cluster)


@given("Redis takes commands with the right login")
def step_redis_open_to_owner(context):
    """So that a refusal means something."""
    orders_of_strangers.require_redis_open_to_owner(context.world.cluster)


@when("a stranger with {login} orders every Patroni to")
def step_orders(context, login):
    """Each order of the table, on every member; one that is obeyed would change nothing."""
    world = context.world
    world.scene["asked"] = orders_of_strangers.orders(world.cluster, login, rows_of(context.table))


@when("a stranger with {login} commands Redis to")
def step_commands(context, login):
    """Each command of the table, on a connection of its own; the keys are the scenario's."""
    world, wanted = context.world, rows_of(context.table)
    world.scene["asked"] = orders_of_strangers.commands(world.cluster, login, wanted, f"{world.namespace}:stranger")


@then("each of these {what} is refused for want of a login")
def step_turned_away(context, what):
    """For that reason, and no other. `what` is orders or commands."""
    all_refused(context.world.scene["asked"]).require()
