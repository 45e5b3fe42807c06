"""A replica that misses WAL: it comes back, or is known to be out, and can be rebuilt."""

from behave import given, then, when

from support.engine.world import Context
from support.failover import joint_loss, missed_wal
from support.faults.declared import disturbs
from support.target.members import status_of
from support.target.timing import Span


@given("members that keep little WAL")
def step_little_wal(context: Context) -> None:
    """By the shared configuration, until the scenario ends."""
    context.world.experiment.prepare(missed_wal.LittleWalKept(context.world.cluster))


@when("a replica that no commit waits for is down until the leader has removed WAL that it needs")
@disturbs(missed_wal.AwayTooLong, member=missed_wal.replica_to_rebuild)
def step_missed(context: Context) -> None:
    """Its host crashes. The leader writes, and switches to new segments, until it has removed the one that the replica
    would ask for next. Then the host is switched on. No other member streams from this replica."""
    world = context.world
    away = missed_wal.replica_to_rebuild(world.cluster)
    had = status_of(world.cluster, away).wal
    world.experiment.inject(missed_wal.AwayTooLong(world.cluster, away))
    missed_wal.remove_what_it_needs(world, away, had)
    joint_loss.switch_on(world, away)


@then("within {seconds:g} seconds it streams, or is known not to and serves no reads")
def step_back_or_known(context: Context, seconds: float) -> None:
    """The replica streams again by itself. Or else Patroni says that it does not, the read endpoint does not lead to
    it, and it may not take over. That it did not come back by itself is reported as a known limit."""
    world = context.world
    limit = world.limit(seconds, "noticed", Span.READ_ROUTING)
    missed_wal.require_back_or_known_to_be_out(world, world.experiment.target_member, limit)


@then("once a reinitialization is requested, it streams within {seconds:g} seconds")
def step_rebuilt(context: Context, seconds: float) -> None:
    """As `patronictl reinit` does it. A replica that already streams is left alone."""
    world = context.world
    missed_wal.require_rebuilt(world, world.experiment.target_member, world.limit(seconds, "rebuild", Span.REJOIN))
