"""The Redis server itself: what it reports about itself, and how it behaves under memory pressure."""

from behave import register_type, then, when
from hamcrest import (
    any_of,
    assert_that,
    equal_to,
    greater_than,
    greater_than_or_equal_to,
    has_property,
    is_in,
    less_than,
)

from support.cache.handover import CacheHandover
from support.cache.redis_server import each_replica, memory_pressure, reached, refusal_of_a_write
from support.engine.world import Context
from support.example_app.cache import Source
from support.target.redis import RedisFacts, facts_of, replica_facts
from support.vocabulary import Kind

LRU_OR_LFU = ("allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu")


MODE = Kind("mode of Redis", ("standalone", "cluster", "sentinel"))
register_type(Mode=MODE)


def _redis(context: Context) -> RedisFacts:
    return context.world.handover(CacheHandover).redis


@when("Redis reports its state")
def step_facts(context: Context) -> None:
    """Its version, mode, role and memory, as INFO shows them; with Sentinel or Redis Cluster, each replica's too."""
    world, handover = context.world, context.world.handover(CacheHandover)
    with reached(world.cluster) as client:
        handover.redis = facts_of(client)
    handover.replicas = replica_facts(world.cluster.redis_address)
    replicas = [f"replica at {address}: {facts}" for address, facts in handover.replicas.items()]
    world.evidence.attach("Redis", "\n".join([str(handover.redis), *replicas]))


@then("Redis is a primary")
def step_primary(context: Context) -> None:
    """According to the role that it reports."""
    assert_that(_redis(context).role, equal_to("master"), "the role that Redis reports")


@then("Redis accepts a write")
def step_accepts_a_write(context: Context) -> None:
    """A key can be set, read back and deleted; in a Redis Cluster, one on each primary."""
    with reached(context.world.cluster) as client:
        refusal = refusal_of_a_write(client, context.world.namespace)
    assert_that(refusal, equal_to(""), "why Redis refused a write")


@then("Redis has version {version:d} or newer, or is Valkey")
def step_version(context: Context, version: int) -> None:
    """According to the version that it reports."""
    new_enough = has_property("version", greater_than_or_equal_to((version,)))
    assert_that(
        context.world.handover(CacheHandover).redis,
        any_of(has_property("product", "Valkey"), new_enough),
        "what Redis is",
    )


@then("Redis is in {mode:Mode} mode")
def step_mode(context: Context, mode: str) -> None:
    """Where [expect] redis_mode declares a mode, that one is expected.

    A primary that is found by asking Sentinels reports that it is standalone; it counts as in sentinel mode.
    """
    topology = context.world.cluster.topology
    declared = topology.expectations.redis_mode
    by_sentinels = declared == "sentinel" and topology.redis is not None and topology.redis.mode == "sentinel"
    found = "sentinel" if by_sentinels else _redis(context).mode
    told = f'the mode that Redis reports (if it is meant to be so, declare [expect] redis_mode = "{found}")'
    assert_that(found, equal_to(declared or mode), told)


@then("Redis evicts by LRU or LFU")
def step_eviction(context: Context) -> None:
    """Among all keys, or among those with an expiry, which every key of the cache has. Replicas, too: after a failover
    one of them is the cache.

    Where [expect] redis_eviction declares a policy, that one is expected.
    """
    declared = context.world.cluster.topology.expectations.redis_eviction
    allowed = (declared,) if declared else LRU_OR_LFU
    assert_that(_redis(context).eviction, is_in(allowed), "the eviction policy that Redis reports")
    replicas = context.world.handover(CacheHandover).replicas
    each_replica(replicas, lambda facts: facts.eviction in allowed, f"evict by {' or '.join(allowed)}").require()


@then("Redis has a finite memory limit")
def step_memory_limit(context: Context) -> None:
    """Without one, Redis grows until the machine runs out of memory. Replicas have one, too."""
    assert_that(_redis(context).memory_limit, greater_than(0), "the memory limit in bytes")
    replicas = context.world.handover(CacheHandover).replicas
    each_replica(replicas, lambda facts: facts.memory_limit > 0, "have a memory limit").require()


@when("more data is stored in Redis than its memory limit allows")
def step_fill(context: Context) -> None:
    """One and a half times as much as its limit, all under the scenario's own prefix."""
    world = context.world
    client = world.cleanup.enter_context(reached(world.cluster))
    pressure = world.cleanup.enter_context(memory_pressure(client, world.namespace))
    world.handover(CacheHandover).pressure = pressure


@then("Redis evicted keys and refused no write")
def step_evicted(context: Context) -> None:
    """According to Redis's count of evictions, and its answer to each write."""
    pressure = context.world.handover(CacheHandover).pressure
    assert_that(pressure.refused, equal_to(0), f"writes that Redis refused, of {pressure.stored}: {pressure.refusal}")
    assert_that(pressure.evicted, greater_than(0), "keys that Redis evicted")


@then("Redis stayed within its memory limit")
def step_within_limit(context: Context) -> None:
    """After everything was stored. What Redis itself does not count, such as the buffers of replicas, is left out. 10 %
    more is allowed, for the buffers of clients.
    """
    after = context.world.handover(CacheHandover).pressure.after
    assert_that(after.memory_used, less_than(after.memory_limit * 1.1), f"bytes in use by {after}")


@then("the cache still stores new entries and serves them")
def step_cache_goes_on(context: Context) -> None:
    """One client writes a hundred entries; all but a few, which may be evicted, are hits for another client."""
    world, clients = context.world, context.world.handover(CacheHandover).clients
    entries = {f"entry-{number}": "value" for number in range(100)}
    clients[0].repository.write_many(world.namespace, entries)
    reads = clients[-1].repository.read_many(world.namespace, list(entries)).values()
    hits = sum(read.source is Source.CACHE and read.value == "value" for read in reads)
    assert_that(hits, greater_than_or_equal_to(90), "new entries, of 100, that are served from the cache")
