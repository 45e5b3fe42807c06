"""A logical consumer (change data capture), and the changes that it must not miss."""

from behave import given, then

from support.engine.safety import safety
from support.engine.world import Context
from support.failover.handover import FailoverHandover
from support.failover.logical_consumer import MaintainedSlot, require_no_gap, start_changes, start_consumer


@given("a logical consumer of a slot that Patroni maintains")
def step_consumer(context: Context) -> None:
    """The consumer reads from the current leader until the scenario ends; then the slot is dropped again.

    Patroni restarts PostgreSQL on each replica to give it the slot.
    """
    world = context.world
    slot = MaintainedSlot(world.cluster, world.run.id, world.known_limit)
    world.experiment.prepare(slot)
    world.handover(FailoverHandover).consumer = start_consumer(world, slot)


@given("{clients:d} clients whose changes are for that consumer")
def step_changes(context: Context, clients: int) -> None:
    """Each commits one numbered change after the other through the write endpoint, until the scenario ends."""
    start_changes(context.world, clients)


@then("within {seconds:g} seconds the consumer has every acknowledged change, and each client's in order")
@safety
def step_no_gap(context: Context, seconds: float) -> None:
    """What it gets again, because it had confirmed it shortly before the fault, does not count."""
    world = context.world
    require_no_gap(world, world.handover(FailoverHandover).consumer, world.limit(seconds, "consumer"))
