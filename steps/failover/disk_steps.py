"""Disks that fill up."""

from behave import given, then, when

from support.engine.world import Context
from support.failover.full_disk import (
    fill_disk,
    fill_disk_until_checkpoint,
    lead_from_small_disk,
    require_refused_for_room,
    require_taken_again,
)


@given("the data of the leader is on a small disk of its own")
def step_small_disk(context: Context) -> None:
    """With room for some more, until the scenario ends; its WAL is elsewhere. Another member than before leads."""
    lead_from_small_disk(context.world)


@when("the disk of the leader is full")
def step_disk_full(context: Context) -> None:
    """Not a block of it is free, for some seconds, and clients try to write all the time; no checkpoint is due."""
    fill_disk(context.world)


@when("the disk of the leader is full as a checkpoint is due")
def step_disk_full_at_checkpoint(context: Context) -> None:
    """Not a block of it is free, and PostgreSQL, which can do no checkpoint, has ended in it for some seconds."""
    fill_disk_until_checkpoint(context.world)


@then("writes are refused for want of room, and none hangs")
def step_refused_for_room(context: Context) -> None:
    """Every client is told why; no operation ends in another error, or without an answer."""
    require_refused_for_room(context.world)


@then("once there is room again, writes are taken within {seconds:g} seconds")
def step_taken_again(context: Context, seconds: float) -> None:
    """In that time from when room was made; nobody touches the server."""
    require_taken_again(context.world, context.world.limit(seconds))
