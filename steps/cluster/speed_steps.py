"""Speed: percentiles of what was measured, and how far replicas are behind."""

import itertools

from behave import register_type, then, when

from support.cache.speed import CACHED
from support.cluster.checks import Sighting, clients_worked_meanwhile, every_marker_arrived, longest_lag, sightings
from support.cluster.handover import ClusterHandover
from support.cluster.workloads import READ, write_markers_and_watch
from support.engine.checks.availability import percentile_is_under
from support.engine.history import History, durations
from support.engine.ledger import APPEND
from support.engine.quiet import judged, measure
from support.engine.world import Context, World
from support.example_app.search import SEARCH
from support.sharding.queries import JOIN, OVER_ALL
from support.target.purposes import prompt_replicas
from support.timeouts import VISIBLE
from support.vocabulary import Kind

ACTIONS = {"reads": READ, "searches": SEARCH, "cached reads": CACHED, "joins": JOIN, "queries": OVER_ALL}


OPERATION = Kind.of("kind of operation", ACTIONS)
register_type(Operations=OPERATION)


@then("{share:d} in 100 {operations:Operations} took under {milliseconds:g} ms")
def step_percentile(context: Context, share: int, operations: str, milliseconds: float) -> None:
    """The percentile of all counted operations; every one must have been answered."""
    world, action, limit = context.world, ACTIONS[operations], context.world.limit(milliseconds, f"p{share}")
    finding = judged(world, lambda: percentile_is_under(world.history, action, share, limit))
    if (answered := durations(world.history, action)).milliseconds:  # without any, the finding says why
        world.measure(f"{operations}, {share} in 100", answered.percentile(share), "ms", limit)
    finding.require()


@when("{count:d} markers are written at the same time, and looked for on every replica")
def step_markers(context: Context, count: int) -> None:
    """One after another through the write endpoint; each replica is polled directly.

    Left out are those that replay late on purpose, or read the archive.
    """
    world, cluster = context.world, context.world.cluster
    replicas = list(map(cluster.of_member, prompt_replicas(cluster)))
    state, patience, turns = world.handover(ClusterHandover), world.time_for("lag", VISIBLE), itertools.count()

    def write_markers() -> None:
        state.markers = History()
        namespace = world.another_namespace(f"markers-{next(turns)}")
        state.replicas = write_markers_and_watch(
            cluster.write, replicas, world.profile, namespace, count, patience, state.markers
        )
        for operation in state.markers:
            world.history.append(operation)

    measure(world, write_markers)


@then("every replica showed each marker within {seconds:g} seconds")
def step_markers_arrived(context: Context, seconds: float) -> None:
    """From the acknowledged commit until the replica shows it; the longest time is reported."""
    world, limit = context.world, context.world.limit(seconds, "lag")
    finding = judged(world, lambda: every_marker_arrived(_seen(world), limit))
    world.measure("replication lag, the longest of all markers", longest_lag(_seen(world)), "s", limit)
    finding.require()


def _seen(world: World) -> list[Sighting]:
    state = world.handover(ClusterHandover)
    return sightings(state.markers, state.replicas)


@then("all {clients:d} clients kept writing")
def step_clients_wrote(context: Context, clients: int) -> None:
    """Each client of the ledger had writes acknowledged between the first marker and the last."""
    written, markers = context.world.history.of(action=APPEND), context.world.handover(ClusterHandover).markers
    clients_worked_meanwhile(History([*markers, *written]), APPEND, clients).require()
