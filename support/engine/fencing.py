"""A leader that freezes: whatever it acknowledged, before it froze or when it thaws, is in the cluster afterwards.

A thawed leader does not know that it was replaced, so the experiment forgives it some transactions that it accepts
(`THAW_GRACE`). Whether it acknowledged one can be told only by clients that are connected to it. So every leader that a
scenario freezes gets such clients.
"""

import time

from support import sql
from support.engine.checks.durability import no_acknowledged_write_lost
from support.engine.experiment import THAW_GRACE
from support.engine.ledger import appends, measure_ledger, read_back
from support.engine.workload import Workload
from support.engine.world import World
from support.errors import ConnectFailed, Inconclusive
from support.faults.nemesis import Fault, InjectedFault
from support.faults.process import Freeze
from support.target.members import NO_ANSWER
from support.waiting import eventually, pause

_CLIENTS = 2


def inject(world: World, fault: Fault, target_member: str) -> InjectedFault:
    """Inject a fault that hits `target_member`.

    If it freezes a leader, clients in direct sessions append to a ledger of their own until the scenario ends. Then the
    leader is thawed, if it was not before, and every entry that was acknowledged must be there. Where replication is
    asynchronous, a failover may lose acknowledged writes, so there is nothing to prove.
    """
    keeps_from_knowing = isinstance(fault, Freeze) or getattr(fault, "unaware", False)
    leads = keeps_from_knowing and target_member in {group.leader() for group in world.cluster.groups}
    if not leads or world.cluster.group_with(target_member).accepted_loss:
        return world.experiment.inject(fault, target_member)
    namespace = world.another_namespace("frozen")
    workload = Workload(
        world.cluster.of_member(target_member),
        appends(world.profile, namespace),
        clients=_CLIENTS,
        patience=world.timing.rejoin,  # longer than any freeze
    )
    world.cleanup.enter_context(workload)
    workload.await_acknowledged(10 * _CLIENTS, within=world.timing.notice)
    injected_fault = world.experiment.inject(fault, target_member)
    world.cleanup.callback(_require_nothing_lost, world, workload, namespace, injected_fault)
    return injected_fault


def _require_nothing_lost(world: World, workload: Workload, namespace: str, freeze: InjectedFault) -> None:
    """Judged when the scenario ends, with writes tried for as long as the thawed leader is forgiven to accept any."""
    world.experiment.nemesis.heal()
    if freeze.healing is None:
        raise Inconclusive(f"{freeze.words}: it was not healed")
    pause(max(0.0, freeze.healing + THAW_GRACE - time.monotonic()))
    workload.await_none_begun_before(freeze.healing, within=workload.gives_up_after + 1)
    workload.stop()
    eventually(
        lambda: read_back(world.cluster.write, world.profile, namespace, workload.history),
        within=world.timing.recovery,
        subject="the ledger of the clients of the frozen leader can be read back",
        retry_on=(*NO_ANSWER, sql.Error, ConnectFailed),
    )
    measure_ledger(world, workload.history, " on the leader that was frozen")
    finding = no_acknowledged_write_lost(workload.history)
    world.evidence.attach("writes on the leader that was frozen", finding.words)
    finding.require()
