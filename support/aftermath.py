"""What a fault cost: measured, kept for the report, and judged."""

import time

from support.checkers.durability import each_write_once, no_acknowledged_write_lost
from support.checkers.unavailability import interrupted_for_less_than, longest_gap
from support.cluster.succession import await_other_leader, await_streaming
from support.errors import NothingProved
from support.history import Outcome
from support.ordeal import Ordeal
from support.timeouts import RECOVERY
from support.workloads.ledger import APPEND, close_ledger
from support.workloads.runner import Workload
from support.world import World


def ordeal_of(world: World) -> Ordeal:
    """The scenario's ordeal. Raises NothingProved where it never began with a healthy cluster."""
    if world.ordeal is None:
        raise NothingProved("the cluster was not seen to be healthy before")
    return world.ordeal


def workload_of(world: World) -> Workload:
    """The clients that work in the scenario. Raises NothingProved where there are none."""
    if world.workload is None:
        raise NothingProved("no client worked meanwhile")
    return world.workload


def require_other_leader(world: World, limit: float) -> None:
    """Another member than the struck one leads within `limit` seconds of the fault."""
    ordeal = ordeal_of(world)
    left = ordeal.injury.begun + limit - time.monotonic()
    ordeal.leaders.append(await_other_leader(world.cluster, ordeal.struck, left))
    world.measure("another member led after", time.monotonic() - ordeal.injury.begun, "s", limit)


def require_rejoined(world: World, limit: float) -> None:
    """The struck member streams as a replica within `limit` seconds from now."""
    took = await_streaming(world.cluster, ordeal_of(world).struck, limit)
    world.measure("the struck member streamed after", took, "s", limit)


def require_interruption_under(world: World, limit: float) -> None:
    """From the fault on, clients were never without an acknowledged write for `limit` seconds; they work again."""
    workload, since = workload_of(world), ordeal_of(world).injury.begun
    workload.await_acknowledged(10, within=RECOVERY)
    gap = longest_gap(workload.history, APPEND, since)
    if gap is not None:
        world.measure("clients were interrupted for", gap.seconds, "s", limit)
    interrupted_for_less_than(limit, workload.history, APPEND, since).require()


def require_ledger_whole(world: World) -> None:
    """No acknowledged entry of the ledger is lost, and each is there once; clients wrote before and after the fault."""
    workload, fault = workload_of(world), ordeal_of(world).injury
    history = close_ledger(workload, world.cluster.write, world.namespace, within=RECOVERY)
    world.measure("acknowledged writes", len(history.of(action=APPEND, outcome=Outcome.OK)), "")
    world.measure("unknown writes", len(history.of(action=APPEND, outcome=Outcome.UNKNOWN)), "")
    lost = no_acknowledged_write_lost(history, (fault.begun, fault.bitten))
    world.evidence.attach("ledger", lost.words)
    lost.require()
    each_write_once(history).require()
