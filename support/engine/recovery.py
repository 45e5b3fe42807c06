"""What a fault cost: measured, kept for the report, and judged."""

import time
from collections.abc import Collection
from functools import partial

from support.engine import markers
from support.engine.checks.availability import interrupted_for_less_than, longest_gap
from support.engine.checks.durability import each_write_once, kept, lost_writes, no_acknowledged_write_lost
from support.engine.checks.writers import last_accepted, took_no_write
from support.engine.experiment import WAKING, Experiment
from support.engine.finding import Finding
from support.engine.history import History, Outcome
from support.engine.ledger import APPEND, close_ledger, read_anywhere, read_back, size_of
from support.engine.workload import Workload
from support.engine.world import World
from support.expectations import AcceptedLoss
from support.faults.nemesis import Fault
from support.run import new_id
from support.sql import Endpoint
from support.target.leadership import await_other_leader, await_streaming, leaderships
from support.target.members import NO_ANSWER
from support.target.synchronous import await_replaced
from support.waiting import eventually


def require_other_leader(world: World, limit: float) -> None:
    """Another member than the target one leads within `limit` seconds of the fault."""
    experiment = world.experiment
    group = world.cluster.group_with(experiment.target_member)
    experiment.leaders.append(await_other_leader(group, experiment.target_member, _left(experiment, limit)))
    require_within(world, "another member led after", time.monotonic() - experiment.injected_fault.begun, limit)


def inject_until_replaced(world: World, fault: Fault, target_member: str) -> None:
    """Let a fault hit a member, and heal it when another one leads."""
    world.experiment.inject(fault, target_member)
    require_other_leader(world, world.timing.recovery)
    world.experiment.nemesis.heal()


def require_rejoined(world: World, limit: float) -> None:
    """The target member streams as a replica within `limit` seconds from now."""
    target_member = world.experiment.target_member
    took = await_streaming(world.cluster.group_with(target_member), target_member, limit)
    require_within(world, "the target member streamed after", took, limit)


def require_all_streaming(world: World, limit: float) -> None:
    """Every member but the leader streams, on the leader's timeline, within `limit` seconds from now."""
    begun = time.monotonic()
    for name in world.cluster.followers():
        await_streaming(world.cluster, name, round(begun + limit - time.monotonic(), 1))
    require_within(world, "every replica streamed after", time.monotonic() - begun, limit)


def require_standby_replaced(world: World, limit: float) -> None:
    """Commits wait for another standby than the target one within `limit` seconds of the fault."""
    experiment = world.experiment
    await_replaced(world.cluster, experiment.target_member, _left(experiment, limit))
    require_within(
        world, "commits waited for another standby after", time.monotonic() - experiment.injected_fault.begun, limit
    )


def require_interruption_under(world: World, limit: float) -> None:
    """From the fault on, clients were never without an acknowledged write for `limit` seconds; they work again."""
    require_served(world, world.clients, limit)


def require_served(world: World, workload: Workload, limit: float, who: str = "clients") -> None:
    """The same for clients of one workload among several; `who` is how the figure calls them."""
    since = world.experiment.injected_fault.begun
    workload.await_acknowledged(10, within=limit)
    gap = longest_gap(workload.history, APPEND, since)
    if gap is not None:
        world.measure(f"{who} were interrupted for", gap.seconds, "s", limit)
    interrupted_for_less_than(limit, workload.history, APPEND, since).require()


def require_ledger_whole(world: World) -> None:
    """No acknowledged entry of the ledger is lost, and each is there once; clients wrote before and after the fault."""
    require_whole(world, world.clients, world.namespace)


def require_whole(world: World, workload: Workload, namespace: str, where: str = "") -> None:
    """The same for the ledger in one namespace among several; `where` is how the figures call it."""
    fault = world.experiment.injected_fault
    history = close_ledger(workload, world.cluster.write, world.profile, namespace, within=world.timing.recovery)
    world.measure(f"acknowledged writes{where}", len(history.of(action=APPEND, outcome=Outcome.OK)), "")
    world.measure(f"unknown writes{where}", len(history.of(action=APPEND, outcome=Outcome.UNKNOWN)), "")
    accepted = _accepted_loss(world)
    world.measure(f"lost writes{where}", len(lost_writes(history)), "", None if accepted else 0)
    size = partial(size_of, namespace)
    finding = no_acknowledged_write_lost(history, (fault.begun, fault.in_effect_since), accepted, size)
    world.evidence.attach("ledger", finding.words)
    finding.require()
    each_write_once(history).require()


def _accepted_loss(world: World) -> AcceptedLoss:
    """What this scenario may lose: nothing, unless an unplanned change of leaders came over its clients."""
    cluster, accepted = world.cluster, world.cluster.topology.accepted_loss
    if not accepted or world.experiment.planned:
        return AcceptedLoss()
    within = world.timing.notice
    now = eventually(lambda: leaderships(cluster), within=within, subject="each group has a leader", retry_on=NO_ANSWER)
    replaced = any(before.followed_by_another(now[group]) for group, before in world.leaderships.items())
    return accepted if replaced else AcceptedLoss()


def require_ledger_on(world: World, members: Collection[str]) -> None:
    """Each of these members, asked past the proxy, holds every acknowledged entry once it has replayed all there is."""
    require_whole(world, world.clients, world.namespace)
    ledger = kept(world.clients.history)
    for member, where in levelled(world, members).items():
        held = History(ledger)
        read_anywhere(where, world.profile, world.namespace, held)
        finding = no_acknowledged_write_lost(held)
        world.evidence.attach(f"the ledger on {member}", finding.words)
        Finding(finding.holds, f"on {member}, {finding.words}").require()


def levelled(world: World, members: Collection[str]) -> dict[str, Endpoint]:
    """These members, past the proxy, once each has replayed all that the leader has written until now.

    After a change of leaders any of them may have to be rewound first, not only the target one.
    """
    places = {name: world.cluster.of_member(name) for name in members}
    namespace, key = world.another_namespace("levelled"), f"mark {new_id()}"
    markers.write(world.cluster.write, world.profile, namespace, key)
    markers.await_seen(places, world.profile, namespace, key, within=world.timing.rejoin)
    return places


def require_no_write_taken(world: World, knocking: Workload, namespace: str) -> None:
    """From the healing on the member that these clients knock at took no write of theirs.

    Whatever it acknowledged, also what it had done before the fault and answered after it, is in the cluster's ledger.
    """
    experiment = world.experiment
    knocking.stop()
    awake = last_accepted(experiment.watch.samples, experiment.target_member, experiment.healing_since)
    require_within(world, "the thawed member would have taken writes for", awake, WAKING)
    read_back(world.cluster.write, world.profile, namespace, knocking.history)
    for finding in (
        took_no_write(knocking.history, APPEND, experiment.healing_since),
        no_acknowledged_write_lost(knocking.history),
    ):
        world.evidence.attach("writes tried on the healed member", finding.words)
        finding.require()


def require_within(world: World, name: str, seconds: float, limit: float) -> None:
    """Keep a figure and hold it against its limit: a wait may end well and yet too late, in its last look."""
    world.measure(name, seconds, "s", limit)
    Finding(seconds <= limit, f"{name} {seconds:.1f} s (allowed: {limit:g} s)").require()


def _left(experiment: Experiment, limit: float) -> float:
    """What is left of a time that began with the fault, in tenths of seconds."""
    return round(experiment.injected_fault.begun + limit - time.monotonic(), 1)
