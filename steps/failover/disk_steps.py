"""A leader whose disk is full."""

from behave import given, then, when

from support.engine.world import Context
from support.failover.full_disk import (
    fill_disk,
    fill_disk_until_checkpoint,
    keep_disk_full,
    lead_from_small_disk,
    require_accepted_after_space,
    require_refused_for_space,
)


@given("the data of the leader is on a small disk of its own")
def step_small_disk(context: Context) -> None:
    """A little of it is free, until the scenario ends; its WAL is elsewhere. A different member leads than before."""
    lead_from_small_disk(context.world)


@when("the disk of the leader is full")
def step_disk_full(context: Context) -> None:
    """Not a block of it is free, for longer than a client waits for an answer; no checkpoint is due."""
    fill_disk(context.world)
    keep_disk_full(context.world)


@when("the disk of the leader is too full to complete a checkpoint")
def step_disk_full_at_checkpoint(context: Context) -> None:
    """Not a block of it is free, and PostgreSQL, which cannot finish the checkpoint, has been down for some seconds."""
    fill_disk_until_checkpoint(context.world)


@then("writes are refused for lack of disk space, and none hangs")
def step_refused_for_space(context: Context) -> None:
    """Every client gets the reason; no operation fails with another error, or gets no answer."""
    require_refused_for_space(context.world)


@then("once there is space again, writes are accepted within {seconds:g} seconds")
def step_accepted_after_space(context: Context, seconds: float) -> None:
    """In that time from when space is freed; nobody touches the server."""
    require_accepted_after_space(context.world, context.world.limit(seconds, "return"))
