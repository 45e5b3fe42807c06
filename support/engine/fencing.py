"""A leader that freezes: whatever it acknowledged, before it froze or when it thaws, is in the cluster afterwards.

A thawed leader does not know that it was replaced, so the experiment forgives it some transactions that it accepts
(`THAW_GRACE`). Whether it acknowledged one can be told only by clients that are connected to it. So every leader that a
scenario freezes gets such clients.

Where replication is asynchronous, nothing keeps it from acknowledging them: Patroni stops PostgreSQL once it has asked
the DCS, and only a watchdog is quicker. What is acknowledged until then is lost. That is a known limit, which is
reported with its figures; what it acknowledges later than that breaks the promise.

Source: https://patroni.readthedocs.io/en/latest/watchdog.html (Patroni may be paused, and PostgreSQL goes on)
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from support import sql
from support.engine.checks.durability import acknowledged_in_vain, lost_since, no_acknowledged_write_lost, without
from support.engine.checks.writers import THAW_GRACE, learned, taken_over
from support.engine.history import History, Operation
from support.engine.ledger import appends, measure_ledger, read_back, size_of
from support.engine.workload import Workload
from support.engine.world import World
from support.errors import ConnectFailed, Inconclusive
from support.expectations import AcceptedLoss
from support.faults.nemesis import InjectedFault
from support.target.members import NO_ANSWER
from support.waiting import eventually, pause

_CLIENTS = 2


@dataclass(frozen=True)
class Replaced:
    """A leader that was replaced while a fault kept it from knowing, in a group that may lose writes in a failover."""

    member: str
    accepted: AcceptedLoss
    taken_over: float
    """When another member was seen to accept writes; monotonic clock, as below."""
    thawed: float
    """When it could learn of that at the latest."""
    led_no_more: float
    """When it was seen to have learned, if it may have become the leader again after that; else infinite."""

    def in_vain(self, history: History, until: float = math.inf) -> list[Operation]:
        """What was acknowledged after that and is lost, so by nobody but this member; `until` a moment at most."""
        return lost_since(history, self.taken_over, min(self.led_no_more, until))


def replaced_leaders(world: World) -> Iterator[Replaced]:
    """Each leader that this scenario froze, has thawed, and that was replaced meanwhile, in a group that may lose
    writes."""
    samples = world.experiment.watch.samples
    for member, fault in world.experiment.frozen:
        group = world.cluster.group_with(member)
        if fault.healing is None or not group.accepted_loss:
            continue
        moment = taken_over(samples, group.members, member, fault.begun)
        if moment is not None and moment < fault.over + THAW_GRACE:
            further = world.experiment.injected_fault is not fault
            until = learned(samples, member, fault.healing) if further else math.inf
            yield Replaced(member, group.accepted_loss, moment, fault.over, until)


def report_in_vain(world: World, replaced: Replaced, vain: Sequence[Operation], where: str) -> None:
    """Report what a replaced leader acknowledged in vain as a known limit; `where` names it in the figures.

    Raises AssertionError if it went on for longer than it may take to learn that it was replaced.
    """
    finding = acknowledged_in_vain(vain, replaced.member, THAW_GRACE, replaced.thawed)
    world.measure(f"writes acknowledged in vain{where}", len(vain), "")
    world.evidence.attach(f"writes acknowledged in vain{where}", finding.words)
    finding.require()
    if vain:
        world.known_limit(
            f"a leader that was frozen does not know at once that it was replaced: {finding.words} (asynchronous "
            "replication; Patroni's synchronous_mode would prevent it, or a watchdog)"
        )


def start_clients(world: World, leader: str) -> Callable[[InjectedFault], None]:
    """Start clients with direct sessions on a leader that is about to freeze; they append to a separate ledger.

    Once the freeze is in effect, call the returned function with it. When the scenario ends, the leader is thawed if it
    still is frozen, and every acknowledged entry must be there. If replication is asynchronous and the leader was
    replaced, entries that a failover may lose can be missing. What the former leader acknowledged after that, before it
    had time to learn that it was replaced, is a known limit.
    """
    namespace = world.another_namespace("frozen")
    workload = Workload(
        world.cluster.of_member(leader),
        appends(world.profile, namespace),
        clients=_CLIENTS,
        patience=world.timing.rejoin,  # longer than any freeze
    )
    world.cleanup.enter_context(workload)
    workload.await_at_work(10 * _CLIENTS, within=world.timing.notice)

    def judge_at_the_end(freeze: InjectedFault) -> None:
        world.cleanup.callback(_require_nothing_lost, world, workload, namespace, freeze)

    return judge_at_the_end


def _require_nothing_lost(world: World, workload: Workload, namespace: str, freeze: InjectedFault) -> None:
    """Judged when the scenario ends, with writes tried for as long as the thawed leader is forgiven to accept any."""
    world.experiment.heal()
    if math.isinf(freeze.over):
        raise Inconclusive(f"{freeze.words}: it was not healed")
    pause(max(0.0, freeze.over + THAW_GRACE - time.monotonic()))
    workload.await_none_begun_before(freeze.over, within=workload.gives_up_after + 1)
    workload.stop()
    eventually(
        lambda: read_back(world.cluster.write, world.profile, namespace, workload.history),
        within=world.timing.recovery,
        subject="the ledger of the clients of the frozen leader can be read back",
        retry_on=(*NO_ANSWER, sql.Error, ConnectFailed),
    )
    where = " on the leader that was frozen"
    replaced = next((one for one in replaced_leaders(world) if one.thawed == freeze.over), None)
    vain = replaced.in_vain(workload.history) if replaced else []
    accepted = replaced.accepted if replaced else AcceptedLoss()
    measure_ledger(world, workload.history, where, None if accepted else 0)
    finding = no_acknowledged_write_lost(
        lost_in_failover(workload.history, vain, accepted),
        accepted=lambda one: accepted,
        size_of=partial(size_of, namespace),
    )
    world.evidence.attach("writes on the leader that was frozen", finding.words)
    finding.require()
    if replaced:
        report_in_vain(world, replaced, vain, where)


def lost_in_failover(history: History, vain: Sequence[Operation], accepted: AcceptedLoss) -> History:
    """The history in which the failover's own loss is judged.

    What a replaced leader acknowledged and lost does not show how far the replicas were behind. But if the total loss
    is declared to be limited, it counts.
    """
    return without(history, vain) if accepted.recent else history
