"""Workloads: clients that work while something else happens. What they do is in the scenario's history."""

from behave import given

from support.engine.ledger import appends
from support.engine.workload import Workload
from support.engine.world import Context

PATIENCE = 3.0
"""Seconds that a client waits for an answer before it gives up and logs in anew."""


@given("{clients:d} clients appending to a ledger through the write endpoint")
def step_ledger(context: Context, clients: int) -> None:
    """Each adds entries of its own without a pause, until the scenario ends; a good many are acknowledged by now."""
    world = context.world
    workload = Workload(
        world.cluster.write, appends(world.profile, world.namespace), clients=clients, patience=PATIENCE
    )
    world.start(workload, acknowledged=1000)
