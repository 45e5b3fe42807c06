"""Redis itself, past the cache: what it is, and how it behaves when its memory is full."""

from behave import then, when
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

from support.cache import pressure as redis_pressure
from support.engine.world import Context
from support.target.redis import facts_of

BY_USE = ("allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu")


@when("Redis is asked what it is")
def step_facts(context: Context) -> None:
    """Its version, its mode, its role and its memory, in its own words."""
    world = context.world
    world.scene["redis"] = facts_of(world.cleanup.enter_context(world.cluster.redis()))
    world.evidence.attach("Redis", str(world.scene["redis"]))


@then("Redis is a primary")
def step_primary(context: Context) -> None:
    """By the role that it reports."""
    assert_that(context.world.scene["redis"].role, equal_to("master"), "the role that Redis reports")


@then("Redis takes a write")
def step_takes_a_write(context: Context) -> None:
    """A key that is set is read back, and gone when it is deleted."""
    with context.world.cluster.redis() as client:
        objection = redis_pressure.objection_to_a_write(client, context.world.namespace)
    assert_that(objection, equal_to(""), "what Redis has against a write")


@then("Redis has version {version:d} or newer, or is Valkey")
def step_version(context: Context, version: int) -> None:
    """By the version that it reports."""
    new_enough = has_property("version", greater_than_or_equal_to((version,)))
    assert_that(context.world.scene["redis"], any_of(has_property("product", "Valkey"), new_enough), "what Redis is")


@then("Redis is in {mode} mode")
def step_mode(context: Context, mode: str) -> None:
    """Standalone, cluster or sentinel; where [expect] redis_mode declares another one, that."""
    declared = context.world.cluster.topology.expectations.redis_mode
    assert_that(context.world.scene["redis"].mode, equal_to(declared or mode), "the mode that Redis reports")


@then("Redis evicts by LRU or LFU")
def step_eviction(context: Context) -> None:
    """Among all keys, or among those that have an expiry, as every key of the cache has.

    Where [expect] redis_eviction declares a policy, by that one.
    """
    declared = context.world.cluster.topology.expectations.redis_eviction
    allowed = (declared,) if declared else BY_USE
    assert_that(context.world.scene["redis"].eviction, is_in(allowed), "the eviction policy that Redis reports")


@then("Redis has a finite memory limit")
def step_memory_limit(context: Context) -> None:
    """Without one it grows until the machine has no memory left."""
    assert_that(context.world.scene["redis"].memory_limit, greater_than(0), "the memory limit in bytes")


@when("more is stored in Redis than its memory holds")
def step_fill(context: Context) -> None:
    """Half as much again as its limit, all under the scenario's own prefix."""
    world = context.world
    client = world.cleanup.enter_context(world.cluster.redis())
    world.scene["pressure"] = world.cleanup.enter_context(redis_pressure.full(client, world.namespace))


@then("Redis evicted keys and refused none")
def step_evicted(context: Context) -> None:
    """As Redis counts evictions, and as each write was answered."""
    pressure = context.world.scene["pressure"]
    assert_that(pressure.refused, equal_to(0), f"writes that Redis refused, of {pressure.stored}: {pressure.refusal}")
    assert_that(pressure.evicted, greater_than(0), "keys that Redis evicted meanwhile")


@then("Redis stayed within its memory limit")
def step_within_limit(context: Context) -> None:
    """After all was stored; what clients' buffers take does not count."""
    after = context.world.scene["pressure"].after
    assert_that(after.memory_used, less_than(after.memory_limit * 1.1), f"bytes in use by {after}")


@then("the cache goes on to take new entries and to serve them")
def step_cache_goes_on(context: Context) -> None:
    """A hundred entries are written by one client; all but a few, which may be evicted, are hits for another."""
    world = context.world
    hits = redis_pressure.hits_of_new_entries(world.cache_clients, world.namespace, 100)
    assert_that(hits, greater_than_or_equal_to(90), "new entries, of 100, that are served out of the cache")
