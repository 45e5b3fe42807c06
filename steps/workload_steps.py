"""Workloads: clients that work while something else happens. What they do is in the scenario's history."""

from behave import given

from support.workloads.ledger import appends
from support.workloads.runner import Workload


@given("{clients:d} clients appending to a ledger through the write endpoint")
def step_ledger(context, clients):
    """Each adds entries of its own without a pause, from now on until the scenario ends."""
    world = context.world
    workload = Workload(world.cluster.write, appends(world.namespace), clients=clients)
    world.history = world.cleanup.enter_context(workload).history
