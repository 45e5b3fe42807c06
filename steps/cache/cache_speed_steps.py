"""How fast the cache is to one client."""

from behave import then, when
from hamcrest import assert_that, greater_than, less_than

from support.cache import speed
from support.engine.world import Context


@when("a cached entry is read {times:d} times from the cache, and as often from the database, in turn")
def step_interleaved_reads(context: Context, times: int) -> None:
    """By one client, one after the other, either way as the application does it."""
    world = context.world
    (client,) = world.cache_clients
    world.history = speed.interleaved_reads(client, world.cluster.write, world.profile, world.namespace, times)


@then("the median cached read took less time than the median database read")
def step_faster_than_the_database(context: Context) -> None:
    """Both medians over as many reads, taken in turn, so that what slows one slows the other."""
    cached, direct = speed.medians(context.world.history)
    context.world.measure("median cached read, against the database's", cached, "ms", direct)
    assert_that(cached, less_than(direct), "ms that a median cached read takes, against one from the database")


@when("a cached entry is read from the cache for {seconds:g} seconds")
def step_reads_in_a_row(context: Context, seconds: float) -> None:
    """By one client, one read after the other."""
    (client,) = context.world.cache_clients
    operations = speed.reads(client, context.world.namespace)
    context.world.scene["throughput"] = speed.throughput(operations, seconds)


@when("new answers are stored in the cache for {seconds:g} seconds")
def step_writes_in_a_row(context: Context, seconds: float) -> None:
    """By one client, one after the other; the database has no part in it."""
    (client,) = context.world.cache_clients
    operations = speed.writes(client, context.world.namespace)
    context.world.scene["throughput"] = speed.throughput(operations, seconds)


@then("the cache did over {least:d} operations a second")
def step_throughput(context: Context, least: int) -> None:
    """The mean of the whole time."""
    world, limit = context.world, context.world.limit(least)
    world.measure("operations", world.scene["throughput"], "/s", limit)
    assert_that(world.scene["throughput"], greater_than(limit), "operations of the cache a second")
