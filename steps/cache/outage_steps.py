"""The cache under faults: outages of Redis, and failovers of the database."""

from behave import register_type, then, when

from support.cache.checks import (
    cached_again,
    caching_resumed,
    last_served,
    lost_write_forgotten,
    no_caller_noticed,
    own_writes_seen,
    slowest,
)
from support.cache.handover import CacheHandover
from support.cache.outages import (
    KEPT,
    LOST,
    OUTAGES,
    failover_of,
    outage,
    own_keys,
    work_through_lost_write,
    work_through_outage,
)
from support.engine.quiet import judged, measure
from support.engine.world import Context
from support.faults.declared import disturbs
from support.faults.network import WITH_ITS_CLIENTS, partition_of_leader
from support.vocabulary import Kind

OUTAGE = Kind.of("outage of Redis", OUTAGES)
register_type(Outage=OUTAGE)


@when("Redis {fails:Outage} for a while, and every client of the cache keeps reading and writing")
@disturbs(outage, "the primary that has the scenario's keys", prefix="")
def step_redis_fails(context: Context, fails: str) -> None:
    """The clients start before the outage and stop after it."""
    world = context.world
    measure(world, lambda: work_through_outage(world, fails), repeatable=False)


@then("no cache operation failed or took {seconds:g} seconds or longer, and each client saw its own writes")
def step_outage_unnoticed(context: Context, seconds: float) -> None:
    """An error is a failure, and so is a value older than the client's own last write."""
    world, limit = context.world, context.world.limit(seconds, "operation")
    handover, since = world.handover(CacheHandover), world.experiment.injected_fault.in_effect_since
    clients = len(handover.clients)
    world.measure("the slowest operation took", slowest(world.history), "s", limit)
    until = world.experiment.healing_since
    silent_until = handover.silent_until
    judged(
        world, lambda: no_caller_noticed(limit, world.history, clients, since, until, silent_until=silent_until)
    ).require()
    own_writes_seen(world.history, own_keys, clients).require()


@then("every client of the cache has a hit again within {seconds:g} seconds")
def step_caching_resumed(context: Context, seconds: float) -> None:
    """Measured from the end of the outage; nothing but Redis was restarted or changed."""
    world, limit = context.world, context.world.limit(seconds, "caching")
    clients, since = range(len(world.handover(CacheHandover).clients)), world.experiment.over_since
    if (took := cached_again(world.history, clients, since)) is not None:
        world.measure("every client was served from the cache again after", took, "s", limit)
    judged(world, lambda: caching_resumed(limit, world.history, clients, since)).require()


@when("a failover loses a write to an entry that every client of the cache keeps reading")
@disturbs(partition_of_leader, others=WITH_ITS_CLIENTS)
def step_write_lost(context: Context) -> None:
    """The leader, cut off from everything but its clients, commits the write; another member takes over without it."""
    work_through_lost_write(context.world)


@then("the cache served the lost write for no more than {seconds:g} seconds after the old leader stopped")
def step_lost_write_forgotten(context: Context, seconds: float) -> None:
    """Measured from when the old leader last accepted writes until a read began.

    Whatever was read later is what the new leader has, and the database itself served the lost write to nobody.
    """
    world, bound = context.world, context.world.limit(seconds, "staleness")
    failover, clients = failover_of(world), len(world.handover(CacheHandover).clients)
    served_for = last_served(world.history, LOST, failover.old_leader_until)
    world.measure("the lost write was served after the old leader stopped for", served_for, "s", bound)
    lost_write_forgotten(bound, world.history, LOST, KEPT, failover, clients).require()
