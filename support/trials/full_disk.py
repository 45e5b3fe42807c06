"""A leader whose disk is full: how it came to have one that can be, and what its clients notice."""

from support import sql
from support.checkers.room import NO_ROOM, refused_for_want_of_room
from support.checkers.unavailability import longest_gap
from support.cluster.succession import await_other_leader, await_streaming
from support.errors import Inconclusive
from support.faults.configuration import Tagged
from support.faults.disk import DiskFull, SmallDisk
from support.faults.nemesis import Nemesis
from support.faults.switchover import Switchover
from support.faults.targets import host_of, member_by_role
from support.history import Outcome
from support.trials.aftermath import ordeal_of, require_within, workload_of
from support.waiting import NotYet, eventually, pause
from support.workloads.ledger import APPEND
from support.world import World

_SUCCESSOR = "a replica that may lead"
FULL_FOR = 3.0
"""Seconds that the disk stays full."""


def lead_from_small_disk(world: World) -> None:
    """A replica that may lead gets a small disk, which it has until the scenario ends, and is handed over to."""
    cluster, host = world.cluster, host_of(world.cluster, _SUCCESSOR)
    preparing = world.cleanup.enter_context(Nemesis())
    for other in set(cluster.followers()) - {host.name}:
        preparing.inject(Tagged(cluster, other, {"nosync": True}))  # so that it is the standby again afterwards
    preparing.inject(SmallDisk(host))
    await_streaming(cluster, host.name, world.timing.rejoin)

    def may_lead() -> None:
        if (standby := member_by_role(cluster, _SUCCESSOR)) != host.name:
            raise NotYet(f"that is {standby}")

    subject = f"{host.name} may lead"
    eventually(
        may_lead, within=world.timing.notice, subject=subject, retry_on=(Inconclusive,)
    )  # for a moment nobody is
    order = Switchover(cluster, host.name)
    preparing.inject(order)
    await_other_leader(cluster, order.leader, world.timing.notice)
    _checkpoint(world)  # one comes after each promotion; the next one is due in minutes


def fill_disk(world: World) -> None:
    """The disk of the leader is full, for a while at least, and no checkpoint is due."""
    _fill(world)
    pause(FULL_FOR)


def fill_disk_until_checkpoint(world: World) -> None:
    """The disk of the leader is full, and then comes a checkpoint, which PostgreSQL does not survive."""
    _fill(world)
    ordeal_of(world).foreseen += NO_ROOM
    died = sql.error_of(lambda: _checkpoint(world))
    if died is None:
        raise Inconclusive("a checkpoint was done on a full disk")
    pause(FULL_FOR)


def require_refused_for_room(world: World) -> None:
    """Every client was refused for want of room since the disk is full, and nothing worse came over any of them."""
    history = workload_of(world).history
    clients = len({one.client for one in history.of(action=APPEND)})
    found = refused_for_want_of_room(history, APPEND, ordeal_of(world).injury.bitten, clients)
    world.evidence.attach("writes on a full disk", found.words)
    found.require()


def require_taken_again(world: World, limit: float) -> None:
    """There is room again, and clients get through within `limit` seconds of that."""
    ordeal = ordeal_of(world)
    ordeal.nemesis.heal()
    workload_of(world).await_acknowledged(10, within=limit)
    history = workload_of(world).history
    taken = [one.ended for one in history.of(action=APPEND, outcome=Outcome.OK) if one.begun > ordeal.healing_since]
    require_within(world, "writes were taken again after", min(taken) - ordeal.healing_since, limit)
    if gap := longest_gap(history, APPEND, ordeal.injury.begun):
        world.measure("clients were interrupted for", gap.seconds, "s")


def _fill(world: World) -> None:
    host = host_of(world.cluster, "the leader")
    ordeal_of(world).strike(DiskFull(host), host.name)


def _checkpoint(world: World) -> None:
    cluster = world.cluster
    sql.execute(cluster.administration_of(cluster.leader()), "CHECKPOINT")
