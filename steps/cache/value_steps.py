"""Clients of the cache under test, the values that they store in it, and what they get back."""

import time

from behave import given, then, when
from hamcrest import assert_that, less_than_or_equal_to

from support.cache import values, workloads
from support.cache.checks import every_key_expires, every_read_served, lived_for
from support.cache.clients import CacheClients
from support.cache.handover import CacheHandover
from support.cache.redis_server import reached, remaining_lifetimes
from support.cache.round_trips import RoundTripCounter, read_batch, store_batch
from support.engine.checks.answers import unchanged
from support.engine.limits import own_limit
from support.engine.tables import rows_of
from support.engine.world import Context, World
from support.example_app.entries import Entry
from support.target.redis import primary_of
from support.vocabulary import Kind, columns

TYPE = Kind.of("type of value", values.VALUES)


def _opening(world: World) -> CacheClients:
    """Opens clients of the cache under test for this scenario."""
    declared = own_limit(world.limits, ["CL-03"], "sessions")
    allowed = int(declared[1]) if declared else None
    return CacheClients(world.cluster, world.cache_repository, world.namespace, world.cleanup, allowed)


@given("{count:d} clients of the cache")
def step_clients(context: Context, count: int) -> None:
    """Each works like a separate process of the application; they share nothing but Redis and the database."""
    context.world.handover(CacheHandover).clients = _opening(context.world).open_many(count)


@given("a client of the cache")
def step_client(context: Context) -> None:
    """The client works like one process of the application."""
    step_clients(context, 1)


@given("a client of a cache with a time to live of {seconds:g} seconds")
def step_client_with_time_to_live(context: Context, seconds: float) -> None:
    """Its repository is configured to keep entries for that long."""
    context.world.handover(CacheHandover).clients = [_opening(context.world).open(time_to_live=seconds)]


@given("{count:d} clients of a cache with a staleness bound of {seconds:g} seconds")
def step_clients_with_bound(context: Context, count: int, seconds: float) -> None:
    """Their repositories are configured to serve an old value for at most that long after a change."""
    world, bound = context.world, context.world.limit(seconds, "staleness")
    world.handover(CacheHandover).clients = _opening(world).open_many(count, staleness_bound=bound)


@given("a client of the cache whose round trips to Redis are counted")
def step_counted_client(context: Context) -> None:
    """Its connections to Redis go through a relay, which counts how often it sent something after an answer."""
    world, redis = context.world, context.world.cluster.topology.redis
    assert redis is not None, "a scenario about Redis begins only where there is one"
    handover = world.handover(CacheHandover)
    handover.counter = world.cleanup.enter_context(RoundTripCounter(primary_of(redis).address))
    handover.clients = [_opening(world).open(redis=handover.counter.address)]


@given("an entry that is not cached")
def step_entry_not_cached(context: Context) -> None:
    """The entry is stored directly in the database."""
    context.world.entries.add(Entry(context.world.namespace, workloads.KEY, "value"))


@given("an entry that all clients of the cache have read")
def step_entry_read_by_all(context: Context) -> None:
    """The entry is stored directly in the database, then read by each client, so it is cached wherever they cache."""
    step_entry_not_cached(context)
    clients = context.world.handover(CacheHandover).clients
    every_read_served("value", workloads.reads_in_turn(clients, context.world.namespace)).require()


@when("query results of these types are requested twice through the cache")
@columns({"type": TYPE})
def step_types_are_fetched(context: Context) -> None:
    """One client requests all of them; then another client does."""
    world, handover, types = context.world, context.world.handover(CacheHandover), list(rows_of(context.table))
    handover.expected = {kind: values.VALUES[kind]() for kind in types}
    handover.answers = values.fetch_each_type(handover.clients, world.namespace, types)


@then("the second client gets each value unchanged, as a cache hit")
def step_second_answers(context: Context) -> None:
    """Its requests come after the first client's. Each value has the same type and content at every level."""
    handover = context.world.handover(CacheHandover)
    _, second = handover.answers
    unchanged(handover.expected, values.hits(second)).require()


@then("the first client gets each value unchanged, too")
def step_first_answers(context: Context) -> None:
    """The client whose misses fill the cache. Each value has the same type and content at every level."""
    handover = context.world.handover(CacheHandover)
    first, _ = handover.answers
    unchanged(handover.expected, {name: read.value for name, read in first.items()}).require()


@when("a cached entry is changed directly in the database, and read for {seconds:g} seconds")
def step_changed_directly(context: Context, seconds: float) -> None:
    """The cache does not learn of the change: it serves the old value until that expires."""
    world = context.world
    client = world.handover(CacheHandover).client
    world.history = workloads.expiry(client, world.entries, world.namespace, seconds)


@then("the cache served the old value for {seconds:g} seconds and no longer")
def step_lived_for(context: Context, seconds: float) -> None:
    """Measured from when the entry was cached, with a tolerance of 0.05 seconds."""
    lived_for(seconds, 0.05, context.world.history).require()


@when("entries and query results are cached by every operation")
def step_cached_by_every_operation(context: Context) -> None:
    """Single and batch writes, updates, single and batch reads, queries; of entries that exist and that do not."""
    client = context.world.handover(CacheHandover).client
    values.cache_by_every_operation(client, context.world.namespace)


@then("every key of the cache in Redis expires within {seconds:g} seconds")
def step_every_key_expires(context: Context, seconds: float) -> None:
    """The keys of leases and locks as well as those of values, each as soon as it is found among all keys of Redis."""
    begun = time.monotonic()
    with reached(context.world.cluster) as client:
        lifetimes = remaining_lifetimes(client, context.world.namespace)
    every_key_expires(lifetimes, seconds, time.monotonic() - begun).require()


@when("one client deletes the entry from the cache and the database")
def step_entry_deleted(context: Context) -> None:
    """Through the cache."""
    context.world.handover(CacheHandover).clients[0].repository.delete(context.world.namespace, workloads.KEY)


@then("no client of the cache finds the entry")
def step_entry_gone(context: Context) -> None:
    """Each client reads it once more."""
    clients = context.world.handover(CacheHandover).clients
    every_read_served(None, workloads.reads_in_turn(clients, context.world.namespace)).require()


@when("{count:d} cached entries are read at once")
def step_read_at_once(context: Context, count: int) -> None:
    """In one call, after all of them were cached."""
    handover = context.world.handover(CacheHandover)
    client = handover.client
    handover.batch = read_batch(client, handover.counter, context.world.namespace, count)


@then("that took at most {count:d} round trip to Redis")
def step_round_trips(context: Context, count: int) -> None:
    """As counted by the relay. A client that keeps what it has read, until Redis tells it of a change, needs none."""
    batch, at_most = context.world.handover(CacheHandover).batch, less_than_or_equal_to(count)
    assert_that(batch.round_trips, at_most, f"round trips to Redis for {len(batch.stored)} entries")


@when("1 entry, and then {count:d} entries at once, are stored through the cache")
def step_stored_at_once(context: Context, count: int) -> None:
    """In one call each."""
    handover = context.world.handover(CacheHandover)
    client = handover.client
    handover.single = store_batch(client, handover.counter, context.world.namespace, 1)
    handover.batch = store_batch(client, handover.counter, context.world.namespace, count)


@then("storing them at once took no more round trips to Redis than storing one")
def step_no_more_round_trips(context: Context) -> None:
    """As counted by the relay."""
    handover = context.world.handover(CacheHandover)
    at_most = less_than_or_equal_to(handover.single.round_trips)
    assert_that(handover.batch.round_trips, at_most, "round trips to Redis to store many entries")


@then("all these entries are hits, unchanged")
def step_batch_unchanged(context: Context) -> None:
    """When they are read back afterwards, in one call."""
    batch = context.world.handover(CacheHandover).batch
    unchanged(batch.stored, values.hits(batch.reads)).require()


@when("queries that differ only in namespace, table or parameters go through the cache twice")
def step_similar_queries(context: Context) -> None:
    """One client sends all of them, then another client does. The right answer to each query is its own text."""
    handover, queries = context.world.handover(CacheHandover), values.similar_questions(context.world.namespace)
    handover.expected, handover.answers = values.fetch_similar(handover.clients, queries)


@when("entries are cached whose namespaces and keys are the same text when joined")
def step_similar_entries(context: Context) -> None:
    """One client writes all of them, then each client reads them. The value of each entry is its own name."""
    world, handover = context.world, context.world.handover(CacheHandover)
    names = values.similar_entries([world.namespace, *map(world.another_namespace, values.SUFFIXES)])
    handover.expected, handover.answers = values.store_and_read(handover.clients, names)
