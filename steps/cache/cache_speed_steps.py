"""How fast the cache is for one client."""

import itertools
from collections.abc import Callable

from behave import then, when

from support.cache import speed
from support.cache.clients import CacheClient
from support.cache.handover import CacheHandover
from support.cache.speed import Operations
from support.engine.finding import Finding
from support.engine.quiet import judged, measure
from support.engine.world import Context, World


@when("an entry is read alternately from the cache and from the database, {times:d} times each")
def step_interleaved_reads(context: Context, times: int) -> None:
    """By one client, one read after the other, each with one round trip: the database's in a session that is open."""
    world = context.world
    client = world.handover(CacheHandover).client

    def read() -> None:
        world.history = speed.interleaved_reads(client, world.cluster.write, world.profile, world.namespace, times)

    measure(world, read)


@then("the median cached read was faster than the median database read")
def step_faster_than_the_database(context: Context) -> None:
    """The reads alternate, so that whatever slows down one kind slows down the other as well."""
    world = context.world

    def faster() -> Finding:
        cached, direct = speed.medians(world.history)
        words = f"the median cached read took {cached:.3f} ms, the median database read {direct:.3f} ms"
        return Finding.within_limit(cached < direct, words)

    finding = judged(world, faster)
    cached, direct = speed.medians(world.history)
    world.measure("median cached read, against the database's", cached, "ms", direct)
    finding.require()


@when("a cached entry is read from the cache for {seconds:g} seconds")
def step_reads_in_a_row(context: Context, seconds: float) -> None:
    """By one client, one read after the other."""
    _measure_throughput(context.world, speed.reads, seconds)


@when("new query results are stored in the cache for {seconds:g} seconds")
def step_writes_in_a_row(context: Context, seconds: float) -> None:
    """By one client, one after the other; the database is not involved."""
    _measure_throughput(context.world, speed.writes, seconds)


def _measure_throughput(world: World, operations: Callable[[CacheClient, str], Operations], seconds: float) -> None:
    """Each time in a namespace of its own: to store a result again would not be the same work."""
    handover, turns = world.handover(CacheHandover), itertools.count()
    client = handover.client

    def work() -> None:
        namespace = world.another_namespace(f"throughput-{next(turns)}")
        handover.throughput = speed.throughput(operations(client, namespace), seconds)

    measure(world, work)


@then("the cache handled over {rate:d} operations a second")
def step_throughput(context: Context, rate: int) -> None:
    """The mean over the whole time."""
    handover, limit = context.world.handover(CacheHandover), context.world.limit(rate, "throughput")

    def fast() -> Finding:
        words = f"{handover.throughput:,.0f} cache operations a second (limit: more than {limit:,.0f})"
        return Finding.within_limit(handover.throughput > limit, words)

    finding = judged(context.world, fast)
    context.world.measure("operations", handover.throughput, "/s", limit, at_least=True)
    finding.require()
