"""Clients that keep their sessions on a member itself, whatever becomes of it."""

from behave import given, then

from support.aftermath import require_no_write_taken
from support.timeouts import REJOIN
from support.workloads.ledger import appends
from support.workloads.runner import Workload


@given("{clients:d} clients appending through sessions that they hold on the leader itself")
def step_clients_of_leader(context, clients):
    """Past the proxy; each waits for an answer for longer than any freeze, and tries on afterwards."""
    world = context.world
    leader, namespace = world.cluster.of_member(world.cluster.leader()), world.another_namespace("leader")
    workload = world.scene["old sessions"] = Workload(leader, appends(namespace), clients=clients, patience=REJOIN)
    world.cleanup.enter_context(workload)


@then("the thawed member acknowledged no write")
def step_thawed_member_took_no_write(context):
    """Neither one that was sent while it stood still, nor a later one."""
    require_no_write_taken(context.world, context.world.scene["old sessions"])
