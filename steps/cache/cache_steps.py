"""The cache under test: its clients, what they store in it and what they are served."""

from behave import given, then, when
from hamcrest import assert_that, equal_to, less_than_or_equal_to

from support.cache import pressure, races, values, visits
from support.cache.checks import every_key_ends, every_read_served, lived_for
from support.cache.clients import CacheClients
from support.cache.visits import RoundTrips
from support.engine.checks.answers import unchanged
from support.engine.tables import rows_of
from support.engine.world import Context
from support.example_app.entries import Entry


def _opening(context: Context) -> CacheClients:
    """What opens clients of the cache under test for this scenario."""
    world = context.world
    return CacheClients(world.cluster, world.cache_repository, world.namespace, world.cleanup)


@given("{count:d} clients of the cache")
def step_clients(context: Context, count: int) -> None:
    """Each works on its own, as a process of the application; what they share is Redis and the database."""
    context.world.cache_clients = _opening(context).open_many(count)


@given("a client of the cache")
def step_client(context: Context) -> None:
    """One client, as a process of the application."""
    step_clients(context, 1)


@given("a client of a cache whose entries live for {seconds:g} seconds")
def step_client_with_time_to_live(context: Context, seconds: float) -> None:
    """One client, whose repository was told this time to live."""
    context.world.cache_clients = [_opening(context).open(time_to_live=seconds)]


@given("{count:d} clients of a cache with a staleness bound of {seconds:g} seconds")
def step_clients_with_bound(context: Context, count: int, seconds: float) -> None:
    """The repositories were told that an old value may be served for so long after a change."""
    opening, bound = _opening(context), context.world.limit(seconds)
    context.world.cache_clients = opening.open_many(count, staleness_bound=bound)


@given("a client of the cache whose round trips to Redis are counted")
def step_counted_client(context: Context) -> None:
    """Its connections to Redis lead through a relay, which counts how often it spoke after it was answered."""
    world, redis = context.world, context.world.cluster.topology.redis
    assert redis is not None, "a scenario about Redis begins only where there is one"
    trips = world.scene["trips"] = world.cleanup.enter_context(RoundTrips(redis.address))
    world.cache_clients = [_opening(context).open(redis=trips.address)]


@given("an entry that is not cached")
def step_entry_not_cached(context: Context) -> None:
    """Stored past the cache."""
    context.world.entries.add(Entry(context.world.namespace, races.KEY, "value"))


@given("an entry that all clients of the cache have read")
def step_entry_read_by_all(context: Context) -> None:
    """Stored past the cache, and then read by each client, so that it is cached wherever a client caches."""
    step_entry_not_cached(context)
    reads = visits.reads_in_turn(context.world.cache_clients, context.world.namespace)
    every_read_served("value", reads).require()


@when("the cache is asked twice for answers of these kinds")
def step_kinds_are_asked_for(context: Context) -> None:
    """One client asks for each of them; then another does."""
    world, kinds = context.world, list(rows_of(context.table))
    world.scene["stored"] = values.values_of(kinds)
    world.scene["answers"] = values.ask_in_parallel(world.cache_clients, world.namespace, kinds)


@then("the second time every answer comes out of the cache, unchanged")
def step_second_answers(context: Context) -> None:
    """Of the same type, with the same content, all the way down."""
    _, second = context.world.scene["answers"]
    unchanged(context.world.scene["stored"], visits.out_of_the_cache(second)).require()


@then("the first time it is the same")
def step_first_answers(context: Context) -> None:
    """What the cache is filled with is handed to whoever asked, unchanged as well."""
    first, _ = context.world.scene["answers"]
    unchanged(context.world.scene["stored"], visits.values(first)).require()


@when("a cached entry is changed behind the cache's back, and read for {seconds:g} seconds")
def step_changed_behind_the_back(context: Context, seconds: float) -> None:
    """As long as the old value is served, it comes out of the cache."""
    world = context.world
    (client,) = world.cache_clients
    world.history = races.expiry(client, world.cluster.write, world.profile, world.namespace, seconds)


@then("the cache served the old value for {seconds:g} seconds and no longer")
def step_lived_for(context: Context, seconds: float) -> None:
    """From when the entry was cached; 0.05 seconds less or more are let pass."""
    lived_for(seconds, 0.05, context.world.history).require()


@when("entries and answers are cached in every way")
def step_cached_in_every_way(context: Context) -> None:
    """Written alone, together and through a change; read alone and together; asked for; there and not there."""
    (client,) = context.world.cache_clients
    visits.cache_in_every_way(client, context.world.namespace)


@then("every key of the cache in Redis ends within {seconds:g} seconds")
def step_every_key_ends(context: Context, seconds: float) -> None:
    """Those of leases and locks too, not only those of values."""
    with context.world.cluster.redis() as client:
        every_key_ends(pressure.lives(client, context.world.namespace), seconds).require()


@when("one client deletes the entry from the cache and the database")
def step_entry_deleted(context: Context) -> None:
    """Through the cache."""
    context.world.cache_clients[0].repository.delete(context.world.namespace, races.KEY)


@then("no client of the cache finds the entry")
def step_entry_gone(context: Context) -> None:
    """Each client reads it once more."""
    every_read_served(None, visits.reads_in_turn(context.world.cache_clients, context.world.namespace)).require()


@when("{count:d} cached entries are read at once")
def step_read_at_once(context: Context, count: int) -> None:
    """In one call, after each of them was cached."""
    world = context.world
    (client,) = world.cache_clients
    world.scene["visit"] = visits.read_at_once(client, world.scene["trips"], world.namespace, count)


@then("that took {count:d} round trip to Redis")
def step_round_trips(context: Context, count: int) -> None:
    """As counted on the way."""
    visit = context.world.scene["visit"]
    assert_that(visit.round_trips, equal_to(count), f"round trips to Redis for {len(visit.stored)} entries")


@when("1 entry, and then {count:d} entries at once, are stored through the cache")
def step_stored_at_once(context: Context, count: int) -> None:
    """In one call each."""
    world, trips = context.world, context.world.scene["trips"]
    (client,) = world.cache_clients
    world.scene["visits"] = visits.stored_one_and_many(client, trips, world.namespace, count)


@then("all at once took no more round trips to Redis than the one")
def step_no_more_round_trips(context: Context) -> None:
    """As counted on the way."""
    one, context.world.scene["visit"] = context.world.scene["visits"]
    many = context.world.scene["visit"].round_trips
    assert_that(many, less_than_or_equal_to(one.round_trips), "round trips to Redis to store many entries")


@then("all of them come out of the cache, unchanged")
def step_all_out_of_the_cache(context: Context) -> None:
    """What was read back after that."""
    visit = context.world.scene["visit"]
    unchanged(visit.stored, visits.out_of_the_cache(visit.reads)).require()


@when("the cache is asked questions that differ in namespace, table or parameters alone")
def step_similar_questions(context: Context) -> None:
    """One client asks all of them, then another does. The right answer to each is its own text."""
    world, questions = context.world, values.similar_questions(context.world.namespace)
    world.scene["stored"], world.scene["answers"] = values.ask_similar(world.cache_clients, questions)


@when("entries are cached whose namespaces and keys are alike when joined")
def step_similar_entries(context: Context) -> None:
    """One client writes all of them, then every client reads them. The value of each is its own name."""
    world = context.world
    names = values.similar_entries([world.namespace, *map(world.another_namespace, values.SUFFIXES)])
    world.scene["stored"], world.scene["answers"] = values.store_and_read(world.cache_clients, names)
