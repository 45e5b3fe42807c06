"""How the cluster recovers from a fault: who leads, how long clients were interrupted, and what was lost.

Each function waits for one outcome or judges it, keeps the figure for the report, and raises AssertionError (or
NotInTime) where a promise is broken. Times begin with the scenario's last fault, unless stated otherwise.
"""

import time
from collections.abc import Callable, Collection
from functools import partial

from support.engine import markers
from support.engine.checks.durability import each_write_once, kept, lost_writes, no_acknowledged_write_lost
from support.engine.checks.writers import (
    THAW_GRACE,
    acknowledged_no_write,
    last_accepted,
    last_acknowledged,
    learned_in_time,
    taken_over,
)
from support.engine.fencing import Replaced, lost_in_failover, replaced_leaders, report_in_vain
from support.engine.finding import Finding
from support.engine.history import History, Operation
from support.engine.interruption import end_watches, require_interruptions_kept
from support.engine.ledger import APPEND, close_ledger, measure_ledger, read_anywhere, read_back, size_of
from support.engine.safety import safety_judged
from support.engine.terms import losses_accepted_now, terms_of_ledger
from support.engine.workload import Workload
from support.engine.world import World
from support.errors import Inconclusive
from support.faults.nemesis import Fault
from support.run import new_id
from support.sql import Endpoint
from support.target.leadership import await_other_leader, await_streaming
from support.target.purposes import prompt_members
from support.target.synchronous import await_replaced
from support.waiting import NotYet, eventually


def require_other_leader(world: World, limit: float | None = None) -> None:
    """A member other than the affected one leads within `limit` seconds of the fault.

    Without a limit it may take as long as the recovery of the cluster.
    """
    experiment = world.experiment
    group, since = world.cluster.group_with(experiment.target_member), experiment.injected_fault.begun
    within = world.timing.recovery if limit is None else limit
    experiment.leaders.append(await_other_leader(group, experiment.target_member, within, since))
    require_within(world, "another member led after", time.monotonic() - since, limit)


def inject_until_replaced(world: World, fault: Fault) -> None:
    """Inject a fault into the leader, and heal it when another member leads."""
    world.experiment.inject(fault)
    require_other_leader(world)
    world.experiment.heal()


def require_replaced(world: World) -> None:
    """Raises Inconclusive unless a member other than the affected one was seen to lead before the fault was healed.

    For steps that judge safety even if the takeover did not come: a leader that nobody replaced goes on leading once
    the fault is healed. Then the others receive what it committed alone, and it rightly acknowledges writes.
    """
    experiment = world.experiment
    target_member, fault = experiment.target_member, experiment.injected_fault
    if experiment.leaders[-1] != target_member:
        return
    members = world.cluster.group_with(target_member).members
    moment = taken_over(experiment.watch.samples, members, target_member, fault.begun)
    if moment is None or (fault.healing is not None and moment > fault.healing):
        raise Inconclusive(f"no other member was seen to lead in place of {target_member} before the fault was healed")


def require_rejoined(world: World, limit: float | None = None) -> None:
    """The affected member streams as a replica within `limit` seconds; without a limit, after a usual rejoin."""
    target_member = world.experiment.target_member
    within = world.timing.rejoin if limit is None else limit
    took, ended = await_streaming(world.cluster.group_with(target_member), target_member, within), time.monotonic()
    world.experiment.look_for_redundancy()
    require_within(world, "the affected member streamed after", took, limit, ended)


def require_all_streaming(world: World, limit: float) -> None:
    """Every member but the leader streams, on the leader's timeline, within `limit` seconds from now."""
    begun = time.monotonic()
    for name in world.cluster.followers():
        await_streaming(world.cluster, name, limit, begun)
    ended = time.monotonic()
    world.experiment.look_for_redundancy()
    require_within(world, "every replica streamed after", ended - begun, limit, ended)


def require_standby_replaced(world: World, limit: float) -> None:
    """Commits wait for a standby other than the affected member within `limit` seconds of the fault."""
    experiment = world.experiment
    since = experiment.injected_fault.begun
    await_replaced(world.cluster, experiment.target_member, limit, since)
    require_within(world, "commits waited for another standby after", time.monotonic() - since, limit)


def require_accepted_again(world: World, heal: Callable[[], None], limit: float) -> None:
    """Call `heal`; once it is done, writes are acknowledged again within `limit` seconds."""
    heal()
    begun = time.monotonic()
    world.clients.await_acknowledged(10, within=limit)
    require_within(world, "writes were acknowledged after", time.monotonic() - begun, limit)


def require_ledger_intact(world: World, workload: Workload | None = None, namespace: str = "", where: str = "") -> None:
    """No acknowledged entry of the ledger is lost, and each is there once; clients wrote before and after the fault.

    Judges the scenario's own ledger, unless one of several is given; `where` names it in the figures.
    """
    workload, namespace = workload or world.clients, namespace or world.namespace
    with safety_judged(partial(_require_intact, world, workload, namespace, where)):
        end_watches(world, workload)


def _require_intact(world: World, workload: Workload, namespace: str, where: str) -> None:
    history = close_ledger(workload, world.cluster.write, world.profile, namespace, within=world.timing.recovery)
    with safety_judged(partial(_require_nothing_lost, world, history, namespace, where)):
        require_interruptions_kept(world, workload)


def _require_nothing_lost(world: World, history: History, namespace: str, where: str) -> None:
    fault = world.experiment.injected_fault
    accepted = losses_accepted_now(world)
    terms = terms_of_ledger(world, namespace, lost_writes(history), accepted)
    size, judged, in_vain = partial(size_of, namespace), history, dict[Replaced, list[Operation]]()
    for one in replaced_leaders(world) if accepted else ():
        writes = one.in_vain(history, until=one.thawed + THAW_GRACE)
        in_vain[one] = [write for write in writes if terms(write) == one.accepted]
        judged = lost_in_failover(judged, in_vain[one], one.accepted)
    finding = no_acknowledged_write_lost(judged, (fault.begun, fault.in_effect_since), terms, size)
    lost_at_most = None if accepted and finding.holds is not False else 0
    measure_ledger(world, history, where, lost_at_most, since=fault.begun)
    world.evidence.attach("ledger", finding.words)
    finding.require()
    each_write_once(history).require()
    for replaced, writes in in_vain.items():
        if writes:
            report_in_vain(world, replaced, writes, f" through the write endpoint{where}")


def require_ledger_on(world: World, members: Collection[str]) -> None:
    """Each of these members holds every acknowledged entry; each is asked past the proxy, once it has caught up."""
    require_ledger_intact(world)
    ledger = kept(world.clients.history)
    for member, where in caught_up(world, members).items():
        held = History(ledger)
        read_anywhere(where, world.profile, world.namespace, held)
        finding = no_acknowledged_write_lost(held)
        world.evidence.attach(f"the ledger on {member}", finding.words)
        Finding(finding.holds, f"on {member}, {finding.words}").require()


def caught_up(world: World, members: Collection[str]) -> dict[str, Endpoint]:
    """The endpoints of these members, past the proxy, once each has replayed all that the leader had written until now.

    Waits as long as a rejoin may take: after a change of leaders any of them may have to be rewound first. Members that
    replay late on purpose, or read the archive, are left out. Raises Inconclusive if that leaves none.
    """
    prompt = prompt_members(world.cluster)
    places = {name: world.cluster.of_member(name) for name in members if name in prompt}
    if not places:
        raise Inconclusive(f"{' and '.join(members)} shows late on purpose what is committed")
    namespace, key = world.another_namespace("caught-up"), f"mark-{new_id()}"
    markers.write(world.cluster.write, world.profile, namespace, key)
    markers.await_seen(places, world.profile, namespace, key, within=world.timing.rejoin)
    return places


def require_no_write_after_thaw(world: World, direct: Workload, namespace: str) -> None:
    """Since it thawed, the affected member has acknowledged no write to the clients that are connected to it directly.

    What it acknowledged before, even if the answer came after the thaw, is in the cluster's ledger.
    """
    experiment = world.experiment
    direct.stop()
    target_member, since, over = experiment.target_member, experiment.healing_since, experiment.over_since
    learned = _await_refusal(world, target_member, over)
    seen = last_accepted(experiment.watch.samples, target_member, over)
    acknowledged = last_acknowledged(direct.history, APPEND, over)
    world.measure("the thawed member would have taken writes for", max(seen, acknowledged), "s", THAW_GRACE)
    read_back(world.cluster.write, world.profile, namespace, direct.history)
    measure_ledger(world, direct.history, " on the healed member")
    for finding in (
        acknowledged_no_write(direct.history, APPEND, since),
        no_acknowledged_write_lost(direct.history),
        learned,  # last: only a limit of time, and what is unknown must not hide what is broken
    ):
        world.evidence.attach("writes tried on the healed member", finding.words)
        finding.require()


def _await_refusal(world: World, member: str, since: float) -> Finding:
    """Whether the watch saw a member that had thawed by `since` learn in time; waits for a look that sees it refuse."""
    until = time.monotonic() + world.timing.visible

    def judged() -> Finding:
        finding = learned_in_time(world.experiment.watch.samples, member, since, THAW_GRACE)
        if finding.holds is None and time.monotonic() < until:
            raise NotYet(finding.words)
        return finding

    return eventually(judged, within=2 * world.timing.visible, subject=f"{member} refuses writes")


def require_within(world: World, name: str, seconds: float, limit: float | None, ended: float | None = None) -> None:
    """Keep a figure and hold it against its limit: a wait can succeed in its last attempt, and still be too late.

    Where nobody promised a time there is no limit; how long the suite waits is none. `ended` is when these seconds were
    over (monotonic clock), if that is not now.
    """
    world.measure(name, seconds, "s", limit)
    if limit is None:
        return
    until = time.monotonic() if ended is None else ended
    words = f"{name} {seconds:.1f} s (limit: {limit:g} s)"
    Finding.within_limit(seconds <= limit, words, (until - seconds, until), limit=limit).require()
