"""Clients that keep their sessions on a member itself, whatever becomes of it."""

from behave import given, then

from support.engine.ledger import appends
from support.engine.recovery import require_no_write_taken
from support.engine.workload import Workload
from support.engine.world import Context


@given("{clients:d} clients appending through sessions that they hold on the leader itself")
def step_clients_of_leader(context: Context, clients: int) -> None:
    """Past the proxy; each waits for an answer for longer than any freeze, and tries on afterwards."""
    world = context.world
    namespace, leader = world.another_namespace("leader"), world.cluster.of_member(world.cluster.leader())
    world.scene["knocking"] = (
        Workload(leader, appends(world.profile, namespace), clients=clients, patience=world.timing.rejoin),
        namespace,
    )
    world.cleanup.enter_context(world.scene["knocking"][0])


@then("the thawed member acknowledged no write")
def step_thawed_member_took_no_write(context: Context) -> None:
    """None that was sent from the thaw on, in old sessions or new ones; and what it had acknowledged is not lost."""
    require_no_write_taken(context.world, *context.world.scene["knocking"])
