"""Replicas that are not equal: some have received what another one lacks, so that it matters who takes over."""

from dataclasses import dataclass
from functools import partial

from support.aftermath import ordeal_of
from support.cluster import markers
from support.cluster.standing import standing
from support.errors import NothingProved
from support.faults.configuration import Tagged
from support.faults.network import OneWayCut
from support.timeouts import VISIBLE
from support.waiting import NotYet, eventually
from support.world import World

_WRITES = 100
"""Enough for a difference, and far less than what makes Patroni pass over a replica as too far behind."""


@dataclass(frozen=True)
class Rivals:
    """The replicas that have received everything, and the one that has not."""

    ahead: tuple[str, ...]
    behind: str


def part(world: World) -> Rivals:
    """Keep what the leader writes from one replica, by chance, until it lacks some of it.

    Raises NothingProved where there is no other replica, or where the others do not get ahead of it.
    """
    cluster, leader = world.cluster, world.cluster.leader()
    behind = world.random.choice(sorted(cluster.followers()))
    rivals = Rivals(tuple(name for name in cluster.followers() if name != behind), behind)
    if not rivals.ahead:
        raise NothingProved(f"{behind} is the only replica")
    ordeal_of(world).nemesis.inject(OneWayCut(cluster.stand, leader, behind))
    for number in range(_WRITES):
        markers.write(cluster.write, world.another_namespace("rivals"), f"write {number}")
    eventually(partial(_require_parted, world, rivals), within=VISIBLE, subject=f"{behind} is behind the others")
    return rivals


def bar(world: World, rivals: Rivals) -> None:
    """Tag those who are ahead never to lead."""
    for name in rivals.ahead:
        ordeal_of(world).nemesis.inject(Tagged(world.cluster, name, {"nofailover": True}))


def _require_parted(world: World, rivals: Rivals) -> None:
    least = standing(world.cluster, world.cluster.leader()).wal
    received = {name: standing(world.cluster, name).wal for name in (*rivals.ahead, rivals.behind)}
    if received[rivals.behind] >= least or any(received[name] < least for name in rivals.ahead):
        raise NotYet(f"the leader has written {least} bytes; the replicas have received {received}")
