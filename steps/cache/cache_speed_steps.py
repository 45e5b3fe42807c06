"""How fast the cache is for one client."""

from behave import then, when

from support.cache import speed
from support.cache.handover import CacheHandover
from support.engine.finding import Finding
from support.engine.world import Context


@when("an entry is read alternately from the cache and from the database, {times:d} times each")
def step_interleaved_reads(context: Context, times: int) -> None:
    """By one client, one read after the other, each with one round trip: the database's in a session that is open."""
    world = context.world
    client = world.handover(CacheHandover).client
    world.history = speed.interleaved_reads(client, world.cluster.write, world.profile, world.namespace, times)


@then("the median cached read was faster than the median database read")
def step_faster_than_the_database(context: Context) -> None:
    """The reads alternate, so that whatever slows down one kind slows down the other as well."""
    cached, direct = speed.medians(context.world.history)
    context.world.measure("median cached read, against the database's", cached, "ms", direct)
    words = f"the median cached read took {cached:.3f} ms, the median database read {direct:.3f} ms"
    Finding.within_limit(cached < direct, words).require()


@when("a cached entry is read from the cache for {seconds:g} seconds")
def step_reads_in_a_row(context: Context, seconds: float) -> None:
    """By one client, one read after the other."""
    handover = context.world.handover(CacheHandover)
    client = handover.client
    handover.throughput = speed.throughput(speed.reads(client, context.world.namespace), seconds)


@when("new query results are stored in the cache for {seconds:g} seconds")
def step_writes_in_a_row(context: Context, seconds: float) -> None:
    """By one client, one after the other; the database is not involved."""
    handover = context.world.handover(CacheHandover)
    client = handover.client
    handover.throughput = speed.throughput(speed.writes(client, context.world.namespace), seconds)


@then("the cache did over {rate:d} operations a second")
def step_throughput(context: Context, rate: int) -> None:
    """The mean over the whole time."""
    world, throughput = context.world, context.world.handover(CacheHandover).throughput
    limit = world.limit(rate, "throughput")
    world.measure("operations", throughput, "/s", limit)
    words = f"{throughput:,.0f} cache operations a second (limit: more than {limit:,.0f})"
    Finding.within_limit(throughput > limit, words).require()
