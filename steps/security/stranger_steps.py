"""Those who have no login, and give orders all the same."""

from behave import given, then, when

from support.engine.tables import rows_of
from support.engine.world import Context
from support.security import unauthenticated
from support.security.checks import all_refused


@given("every Patroni takes orders with the right login")
def step_patroni_open_to_owner(context: Context) -> None:
    """On every member, so that a refusal means something."""
    unauthenticated.require_patroni_open_to_owner(context.world.cluster)


@given("Redis takes commands with the right login")
def step_redis_open_to_owner(context: Context) -> None:
    """So that a refusal means something."""
    unauthenticated.require_redis_open_to_owner(context.world.cluster)


@when("a stranger with {login} orders every Patroni to")
def step_orders(context: Context, login: str) -> None:
    """Each order of the table, on every member; one that is obeyed would change nothing."""
    world = context.world
    world.scene["asked"] = unauthenticated.orders(world.cluster, login, rows_of(context.table))


@when("a stranger with {login} commands Redis to")
def step_commands(context: Context, login: str) -> None:
    """Each command of the table, on a connection of its own; the keys are the scenario's."""
    world, wanted = context.world, rows_of(context.table)
    world.scene["asked"] = unauthenticated.commands(world.cluster, login, wanted, f"{world.namespace}:stranger")


@then("each of these {what} is refused for want of a login")
def step_turned_away(context: Context, what: str) -> None:
    """For that reason, and no other. `what` is orders or commands."""
    all_refused(context.world.scene["asked"]).require()
