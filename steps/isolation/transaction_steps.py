"""Concurrent transactions at an isolation level, and what they saw of one another."""

from functools import partial

from behave import given, register_type, then, when

from support.engine.safety import safety, safety_judged
from support.engine.workload import Workload, run_to_end
from support.engine.world import Context, World
from support.isolation.handover import IsolationHandover
from support.isolation.judging import one_place, over_all_workers, require_isolated
from support.isolation.levels import Level
from support.isolation.workloads import close_transactions, read_at_the_end, start_transactions, transactions
from support.timeouts import CLIENT
from support.vocabulary import Kind

LEVEL = Kind.of("isolation level", [str(level) for level in Level])
register_type(Level=LEVEL)
_PACE = 0.01
"""Seconds between two transactions of a client while the cluster fails over: it takes long, and they go on."""


@given("lists, registers and sets over all worker groups")
def step_over_all_workers(context: Context) -> None:
    """Entries of several namespaces, some on every worker group; a set has members on all of them."""
    world = context.world
    world.handover(IsolationHandover).items = over_all_workers(world, each=2)


@given("lists, registers and sets on one server")
def step_one_place(context: Context) -> None:
    """Entries of one namespace; on Citus, a single worker has all of them."""
    world = context.world
    world.handover(IsolationHandover).items = one_place(world)


@when("{clients:d} clients run {times:d} transactions each at isolation level {level:Level}")
def step_run(context: Context, clients: int, times: int, level: str) -> None:
    """All at the same time, on the same few items, through the write endpoint. Each transaction asks for its level."""
    _run(context, clients, times, level, by_default=False)


@when("{clients:d} clients run {times:d} transactions each, with {level:Level} as the default of their sessions")
def step_run_by_default(context: Context, clients: int, times: int, level: str) -> None:
    """All at the same time, on the same few items, through the write endpoint. Each session asks for the level once,
    and its transactions name none.
    """
    _run(context, clients, times, level, by_default=True)


def _run(context: Context, clients: int, times: int, level: str, by_default: bool) -> None:
    world, handover = context.world, context.world.handover(IsolationHandover)
    handover.level = Level(level)
    script = transactions(handover.items, handover.level, times, by_default)
    world.history = run_to_end(world.cluster.write, script, clients)
    read_at_the_end(world.cluster.write, handover.items, world.history, world.timing.recovery)


@given("{clients:d} clients running transactions at isolation level {level:Level}")
def step_keep_running(context: Context, clients: int, level: str) -> None:
    """On lists, registers and sets of one namespace, through the write endpoint, until the scenario ends."""
    world, handover = context.world, context.world.handover(IsolationHandover)
    handover.level, handover.items = Level(level), one_place(world)
    script = transactions(handover.items, handover.level, patient=True)
    workload = Workload(world.cluster.write, script, clients=clients, patience=CLIENT, pace=_PACE)
    handover.running = start_transactions(world, workload)
    if world.workload is None:
        world.history = workload.history


@then("no transaction saw an anomaly that its level rules out")
@safety
def step_isolated(context: Context) -> None:
    """The anomalies of the level are looked for in all that was read and written, by cycles of dependencies.

    Where clients still run, they have to get through first; then they are stopped, and everything is read once more.
    """
    world, handover = context.world, context.world.handover(IsolationHandover)
    running = handover.running
    with safety_judged(partial(_require_isolated, world, running)):
        if running is not None:
            close_transactions(running, world.cluster.write, handover.items, world.timing.recovery)


def _require_isolated(world: World, running: Workload | None) -> None:
    """Judged once all clients have ended: what one of them writes is in the history only when it got its answer, and
    another one may have read it before."""
    if running is not None:
        running.stop()
    require_isolated(world, world.history if running is None else running.history)
