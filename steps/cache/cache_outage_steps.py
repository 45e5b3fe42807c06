"""The cache under faults: Redis that fails, and a database that fails over."""

from behave import then, when

from support.cache.outages import (
    require_caching_resumed,
    require_lost_write_forgotten,
    require_unnoticed,
    work_through_lost_write,
    work_through_outage,
)
from support.engine.world import Context


@when("Redis {fails} for a while, and every client of the cache reads and writes all the time")
def step_redis_fails(context: Context, fails: str) -> None:
    """It "is killed", "freezes", "is restarted empty" or "is full". Clients begin before it and end after it."""
    work_through_outage(context.world, fails)


@then("no operation on the cache failed or took {seconds:g} seconds, and each client saw its own writes")
def step_outage_unnoticed(context: Context, seconds: float) -> None:
    """An error of any of them is a failure; so is a value that is older than what the client itself had written."""
    require_unnoticed(context.world, context.world.limit(seconds))


@then("every client of the cache has a hit again within {seconds:g} seconds")
def step_caching_resumed(context: Context, seconds: float) -> None:
    """In that time from the end of the outage on; nobody but Redis was touched."""
    require_caching_resumed(context.world, context.world.limit(seconds))


@when("a failover takes back a change of an entry that every client of the cache reads all the time")
def step_change_taken_back(context: Context) -> None:
    """The leader, cut off from all but its clients, commits the change alone; another member leads without it."""
    work_through_lost_write(context.world)


@then("no read from the cache served that change for over {seconds:g} seconds after the failover")
def step_change_forgotten(context: Context, seconds: float) -> None:
    """From when the other member led until the read began. From then on, it serves what the new leader holds."""
    require_lost_write_forgotten(context.world, context.world.limit(seconds))
