"""Readers and writers of the cache who cross, and what the cache serves after that."""

from behave import then, when
from hamcrest import assert_that, equal_to

from support.cache import races, storm, visits
from support.cache.checks import (
    actions,
    every_read_is_a_fresh_hit,
    every_read_served,
    nothing_rolled_back_served,
    oldest_served,
    served_within,
    storm_raged,
)
from support.engine.checks.answers import unchanged
from support.engine.world import Context

CHANGES = {
    "updates": lambda recorder: recorder.update(races.KEY, "new"),
    "overwrites": lambda recorder: recorder.write(races.KEY, "new"),
    "deletes": lambda recorder: recorder.delete(races.KEY),
}


@when("{threads:d} threads at a time read and change {entries:d} entries through the cache, {times:d} times each")
def step_storm(context: Context, threads: int, entries: int, times: int) -> None:
    """Reads, writes, changes, deletions and transactions that are rolled back, by the run's own chance."""
    world, names = context.world, storm.names(entries)
    world.scene["entries"], seed = names, world.random.random()
    world.history = storm.storm(
        world.cache_clients, world.namespace, threads=threads, keys=names, times=times, seed=seed
    )


@then("it was a storm on the cache, and no operation in it failed")
def step_it_was_a_storm(context: Context) -> None:
    """Enough hits, misses, writes and transactions that were rolled back; an error of any of them is a failure."""
    storm_raged(context.world.history).require()


@then("every client of the cache is served what the database holds")
def step_served_what_is_held(context: Context) -> None:
    """Each client reads every entry out of the cache; the same entries are read past it, on the write endpoint."""
    world = context.world
    which = (world.cache_clients, world.namespace, world.scene["entries"])
    unchanged(storm.held(world.cluster.write, world.profile, *which), storm.served(*which)).require()


@when("an entry is updated through the cache and past it, and read by every client for over {seconds:g} seconds more")
def step_updated_while_read(context: Context, seconds: float) -> None:
    """Ten times, in turn; the last time past the cache, which only a time to live can help against."""
    world, bound = context.world, context.world.limit(seconds)
    world.history = races.replaced_while_read(
        world.cache_clients,
        world.cluster.write,
        world.profile,
        world.namespace,
        changes=10,
        pace=bound / 10,
        afterwards=1.3 * bound,
    )


@then("no read from the cache served a value that had been replaced for over {seconds:g} seconds")
def step_served_within(context: Context, seconds: float) -> None:
    """From when the change was acknowledged until the read began."""
    world, bound = context.world, context.world.limit(seconds)
    world.measure("the oldest value served had been replaced for", oldest_served(world.history), "s", bound)
    served_within(bound, world.history).require()


@when("one client {changes} an entry while the old value is on its way to a miss of another")
def step_late_fill(context: Context, changes: str) -> None:
    """The database has answered the load of the miss, and the answer is held back until the change is made."""
    world = context.world
    world.history = races.late_fill(world.cache_clients, world.namespace, CHANGES[changes])


@then("every later read from the cache serves what was committed last")
def step_later_reads(context: Context) -> None:
    """Every read that began after the change was acknowledged, of every client."""
    served_within(0, context.world.history).require()


@when("{readers:d} readers ask the cache for the entry while the database takes {seconds:g} seconds to answer")
def step_crowd(context: Context, readers: int, seconds: float) -> None:
    """At once, in a thread each, spread over the clients."""
    world = context.world
    world.history = races.crowd(world.cache_clients, world.namespace, readers=readers, delay=seconds)


@then("the database was asked for the entry once by all clients of the cache")
def step_loaded_once(context: Context) -> None:
    """As seen on the sessions that the repositories were given."""
    assert_that(visits.loads(context.world.cache_clients), equal_to(1), "loads of the entry from the database")


@then("every read from the cache served the entry")
def step_every_reader_served(context: Context) -> None:
    """None got nothing, an error, or another value."""
    every_read_served("value", context.world.history).require()


@when("entries are changed in transactions that are rolled back, while every client of the cache reads them")
def step_rolled_back(context: Context) -> None:
    """One written, one updated, one deleted in each of five transactions, each open for a while."""
    world = context.world
    world.history = races.rolled_back_while_read(world.cache_clients, world.namespace, rounds=5)
    world.scene["entries"] = races.ENTRIES


@then("no read from the cache served what was rolled back")
def step_nothing_rolled_back(context: Context) -> None:
    """Not while the transaction was open, and not after its end."""
    nothing_rolled_back_served(context.world.history).require()


@when("one client writes an entry {times:d} times, and every client of the cache reads it after each write")
def step_writes_and_reads(context: Context, times: int) -> None:
    """Through the cache, one after the other."""
    world = context.world
    world.history = visits.writes_and_reads(world.cache_clients, world.namespace, times)


@then("every read was a hit with the value just written")
def step_fresh_hits(context: Context) -> None:
    """Out of the cache, and never the value before."""
    every_read_is_a_fresh_hit(context.world.history).require()


@when("one client of the cache reads the entry, and then another does")
def step_read_in_turn(context: Context) -> None:
    """Once each."""
    context.world.history = visits.reads_in_turn(context.world.cache_clients, context.world.namespace)


@then("the first read is a miss, and the second is a hit")
def step_miss_then_hit(context: Context) -> None:
    """By where the repository says that the value came from."""
    assert_that(actions(context.world.history), equal_to(["miss", "hit"]), "the two reads")
