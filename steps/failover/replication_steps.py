"""Replication: slots, and how soon a replica has what the leader has."""

from behave import then
from hamcrest import assert_that, empty

from support.engine import markers
from support.engine.world import Context
from support.failover import replication
from support.target.members import in_each_group


@then("the leader streams to every replica through a slot of its own")
def step_replicas_use_slots(context: Context) -> None:
    """By the leader's SQL: each member that is not the leader streams, and its stream holds an active slot."""
    in_each_group(
        context.world.cluster,
        lambda group: assert_that(replication.slotless(group), empty(), "replicas without a stream through a slot"),
        "the leader streams to every replica through a slot",
    )


@then("no slot of the leader is orphaned")
def step_no_slot_is_orphaned(context: Context) -> None:
    """Nobody's slot: it would keep WAL on the leader until its disk is full."""
    for group in context.world.cluster.groups:
        assert_that(replication.orphaned(group), empty(), "slots of the leader that nobody uses")


@then("each of {count:d} markers written through the write endpoint is on every replica within {seconds:g} seconds")
def step_markers_are_on_replicas(context: Context, count: int, seconds: float) -> None:
    """Rows committed one after another, each looked for on every replica, past the proxy; the slowest is measured."""
    world, limit = context.world, context.world.limit(seconds)
    slowest = max(markers.delays(world.cluster, world.namespace, count, limit))
    world.measure("slowest marker, from its commit until it was on every replica", slowest, "s", limit)
