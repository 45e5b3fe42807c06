"""How fast the cache is to one client."""

from behave import then, when
from hamcrest import assert_that, greater_than, less_than

from support.workloads import cache_speed


@when("a cached entry is read {times:d} times from the cache, and as often from the database, in turn")
def step_interleaved_reads(context, times):
    """By one client, one after the other, either way as the application does it; the calmest of ten rounds counts."""
    world = context.world
    (client,) = world.cache_clients
    world.history = cache_speed.interleaved_reads(client, world.cluster.write, world.namespace, times)


@then("the median cached read took less time than the median database read")
def step_faster_than_the_database(context):
    """Both medians over as many reads, taken in turn, so that what slows one slows the other."""
    cached, direct = cache_speed.medians(context.world.history)
    context.world.measure("median cached read, against the database's", cached, "ms", direct)
    assert_that(cached, less_than(direct), "ms that a median cached read takes, against one from the database")


@when("a cached entry is read from the cache over and over")
def step_reads_in_a_row(context):
    """By one client, one read after the other."""
    (client,) = context.world.cache_clients
    context.world.scene["operations"] = cache_speed.reads(client, context.world.namespace)


@when("new answers are stored in the cache over and over")
def step_writes_in_a_row(context):
    """By one client, one after the other; the database has no part in it."""
    (client,) = context.world.cache_clients
    context.world.scene["operations"] = cache_speed.writes(client, context.world.namespace)


@then("the cache comes to over {least:d} operations a second")
def step_throughput(context, least):
    """Over a fifth of a second, and within 15 seconds: what else runs on the machine is no part of the promise."""
    world, limit = context.world, context.world.limit(least)
    world.measure("operations", reached := cache_speed.fastest(world.scene["operations"], limit, 15), "/s", limit)
    assert_that(reached, greater_than(limit), "operations of the cache a second")
