"""Overlapping reads and writes of the cache, and what the cache serves after them."""

from behave import given, register_type, then, when
from hamcrest import assert_that, equal_to

from support.cache import cold, workloads
from support.cache.checks import (
    each_loaded_at_most,
    every_read_is_a_fresh_hit,
    every_read_served,
    hits_again_after,
    nothing_rolled_back_served,
    oldest_served,
    reads_of,
    refilled,
    served_within,
    storm_was_heavy,
)
from support.cache.handover import CacheHandover
from support.engine.checks.answers import unchanged
from support.engine.quiet import judged, measure
from support.engine.safety import safety
from support.engine.world import Context
from support.timeouts import NOTICE
from support.vocabulary import Kind

CHANGES = {
    "updates": lambda recorder: recorder.update(workloads.KEY, "new"),
    "overwrites": lambda recorder: recorder.write(workloads.KEY, "new"),
    "deletes": lambda recorder: recorder.delete(workloads.KEY),
}


CHANGE = Kind.of("change", CHANGES)
register_type(Change=CHANGE)


@when("{threads:d} threads read and change {entries:d} entries through the cache, {times:d} times each")
def step_storm(context: Context, threads: int, entries: int, times: int) -> None:
    """All at once: reads, writes, updates, deletions and rolled-back transactions, at random from the run's seed."""
    world, handover = context.world, context.world.handover(CacheHandover)
    keys = handover.keys = [f"entry-{number}" for number in range(entries)]
    world.history = workloads.storm(
        handover.clients, world.namespace, threads=threads, keys=keys, times=times, seed=world.random.random()
    )


@then("there were hits, misses, writes and rollbacks, and no operation failed")
def step_storm_was_heavy(context: Context) -> None:
    """At least 20 operations of each kind, and no error in any operation."""
    storm_was_heavy(context.world.history).require()


@then("every client of the cache is served what the database holds")
@safety
def step_served_what_database_holds(context: Context) -> None:
    """Each client reads every entry from the cache; the same entries are read directly from the write endpoint."""
    world, handover = context.world, context.world.handover(CacheHandover)
    which = (handover.clients, world.namespace, handover.keys)
    unchanged(workloads.held_by_database(world.entries, *which), workloads.served_by_cache(*which)).require()


@when("an entry is updated with and without the cache, and every client keeps reading it for over {seconds:g} seconds")
def step_updated_while_read(context: Context, seconds: float) -> None:
    """Ten updates, alternately; the last one bypasses the cache, so that only expiry can remove the old value."""
    world, bound = context.world, context.world.limit(seconds, "staleness")
    world.history = workloads.replaced_while_read(
        world.handover(CacheHandover).clients,
        world.cluster.write,
        world.profile,
        world.namespace,
        changes=10,
        pace=bound / 10,
        afterwards=1.3 * bound,
    )


@then("no read from the cache served a value that had been replaced for over {seconds:g} seconds")
@safety
def step_served_within(context: Context, seconds: float) -> None:
    """Measured from when the change was acknowledged until the read began."""
    world, bound = context.world, context.world.limit(seconds, "staleness")
    world.measure("the oldest value served had been replaced for", oldest_served(world.history), "s", bound)
    served_within(bound, world.history).require()


@when("one client {changes:Change} an entry while another client's miss is still loading the old value")
def step_change_during_load(context: Context, changes: str) -> None:
    """The database has answered the load, but the answer is held back until the change is made."""
    world = context.world
    clients = world.handover(CacheHandover).clients
    world.history = workloads.change_during_load(clients, world.namespace, CHANGES[changes])


@then("every later read from the cache serves the value that was committed last")
def step_later_reads(context: Context) -> None:
    """Every read, by any client, that began after the change was acknowledged."""
    served_within(0, context.world.history).require()


@when("{readers:d} readers ask the cache for the entry while the database takes {seconds:g} seconds to answer")
def step_stampede(context: Context, readers: int, seconds: float) -> None:
    """All at once, each in a thread, spread over the clients."""
    world = context.world
    clients = world.handover(CacheHandover).clients
    world.history = workloads.stampede(clients, world.namespace, readers=readers, delay=seconds)


@then("the entry was loaded from the database once")
def step_loaded_once(context: Context) -> None:
    """By all clients together, counted on the database sessions that the repositories use."""
    loads = workloads.loads(context.world.handover(CacheHandover).clients)
    assert_that(loads, equal_to(1), "loads of the entry from the database")


@given("{count:d} entries that are cached")
def step_entries_cached(context: Context, count: int) -> None:
    """Stored directly in the database, and then all read through the cache by every client."""
    cold.store_and_cache(context.world, count)


@when("the cache is emptied while {readers:d} readers read the entries")
def step_emptied_while_read(context: Context, readers: int) -> None:
    """Each in a thread, spread over the clients, without a pause, and some entries more often than others. All keys of
    the scenario are removed from Redis, and the readers go on until reads are hits again."""
    world = context.world
    measure(
        world,
        lambda: cold.empty_while_read(world, readers, world.time_for("hits", NOTICE)),
        repeatable=False,
    )


@then("no entry was loaded from the database more than {times:d} times")
def step_each_loaded_at_most(context: Context, times: int) -> None:
    """By all clients together, since the cache was emptied, counted on the sessions that the repositories use."""
    world, found = context.world, context.world.handover(CacheHandover).cold_start
    limit = world.limit(times, "loads")
    world.measure("most loads of one entry", max(found.loads.values(), default=0), "times", limit)
    world.measure("loads after the cache was emptied", sum(found.loads.values()), "")
    each_loaded_at_most(limit, found.loads, len(world.entries.all(world.namespace))).require()


@then("nine in ten reads are hits again within {seconds:g} seconds")
def step_hits_again(context: Context, seconds: float) -> None:
    """From when the cache was emptied, by 200 reads in a row; and no read failed."""
    world, found = context.world, context.world.handover(CacheHandover).cold_start
    limit = world.limit(seconds, "hits")
    if (took := hits_again_after(world.history, found.emptied)) is not None:
        world.measure("nine in ten reads were hits again after", took, "s", limit)
    judged(world, lambda: refilled(world.history, found.emptied, limit)).require()


@then("every read from the cache served the entry")
def step_every_reader_served(context: Context) -> None:
    """No read got an error, nothing, or another value."""
    every_read_served("value", context.world.history).require()


@when("entries are changed in transactions that are rolled back, while every client of the cache reads them")
def step_rolled_back(context: Context) -> None:
    """Five transactions, each open for a while; each writes one entry, updates another and deletes a third."""
    world, handover = context.world, context.world.handover(CacheHandover)
    handover.keys = workloads.ROLLED_BACK
    world.history = workloads.rolled_back_while_read(handover.clients, world.namespace, rounds=5)


@then("no read from the cache served what was rolled back")
@safety
def step_nothing_rolled_back(context: Context) -> None:
    """Neither while the transaction was open nor after it ended."""
    nothing_rolled_back_served(context.world.history).require()


@when("one client writes an entry {times:d} times, and every client of the cache reads it after each write")
def step_writes_and_reads(context: Context, times: int) -> None:
    """Through the cache, one operation after the other."""
    world = context.world
    world.history = workloads.writes_and_reads(world.handover(CacheHandover).clients, world.namespace, times)


@then("every read was a hit with the value just written")
def step_fresh_hits(context: Context) -> None:
    """A miss is a failure, and so is an older value."""
    every_read_is_a_fresh_hit(context.world.history).require()


@when("one client of the cache reads the entry, and then another does")
def step_read_in_turn(context: Context) -> None:
    """Once each."""
    world = context.world
    world.history = workloads.reads_in_turn(world.handover(CacheHandover).clients, world.namespace)


@then("the first read is a miss, and the second is a hit")
def step_miss_then_hit(context: Context) -> None:
    """According to the source of the value that the repository reports."""
    assert_that([read.action for read in reads_of(context.world.history)], equal_to(["miss", "hit"]), "the two reads")
