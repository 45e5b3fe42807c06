"""What sessions at the two endpoints may rely on."""

from behave import then, when

from support.engine.workload import run_to_end
from support.engine.world import Context
from support.isolation.handover import IsolationHandover
from support.isolation.session_checks import (
    endpoints_follow,
    own_writes_seen,
    reads_never_go_back,
    shown_early,
    slowest,
)
from support.isolation.sessions import follow, own_entries, read_while_written, writing_and_reading

_PACE = 0.004
"""Seconds between two reads of a client: the leader writes a few versions meanwhile."""
_LAG = 6.0
"""Seconds for which an endpoint is asked for what the other one has."""


@when("{clients:d} clients each write an entry of their own {times:d} times, and read it after each write")
def step_write_and_read(context: Context, clients: int, times: int) -> None:
    """Through the write endpoint, each over one session; every write is committed before it is read."""
    world = context.world
    own_entries(world.cluster.write, world.profile, world.namespace, clients)
    world.history = run_to_end(world.cluster.write, writing_and_reading(world.profile, world.namespace, times), clients)


@then("each of them saw its own writes at once")
def step_own_writes(context: Context) -> None:
    """What was read is the version that the session had written just before."""
    finding = own_writes_seen(context.world.history)
    context.world.evidence.attach("own writes", finding.words)
    finding.require()


@when("{clients:d} clients read an entry {times:d} times each through the read endpoint, while it changes")
def step_read_while_written(context: Context, clients: int, times: int) -> None:
    """Each over one session. Meanwhile another client commits one version after another through the write endpoint."""
    world = context.world
    world.history = read_while_written(world.cluster, world.namespace, clients, times, _PACE)


@then("none of them saw an older version than before")
def step_never_back(context: Context) -> None:
    """Each session's reads are compared with the one before."""
    finding = reads_never_go_back(context.world.history)
    context.world.evidence.attach("reads", finding.words)
    finding.require()


@when("each endpoint is asked {times:d} times for what the other one has")
def step_follow(context: Context, times: int) -> None:
    """The read endpoint for versions that were acknowledged at the write endpoint; the write endpoint for versions that
    the read endpoint has shown, which a standby may show before its leader does."""
    world, handover = context.world, context.world.handover(IsolationHandover)
    within = world.time_for("lag", _LAG)
    handover.followed = follow(world.cluster, world.namespace, times, within)


@then("it shows that within {seconds:g} seconds")
def step_follow_within(context: Context, seconds: float) -> None:
    """From the moment at which the other endpoint had acknowledged or shown the version."""
    world, handover = context.world, context.world.handover(IsolationHandover)
    limit = world.limit(seconds, "lag")
    finding = endpoints_follow(handover.followed, limit)
    for endpoint in ("the write endpoint", "the read endpoint"):
        world.measure(f"{endpoint} was behind for at most", slowest(handover.followed, endpoint), "s", limit)
    if limit_seen := shown_early(handover.followed):
        world.known_limit(limit_seen)
    finding.require()
