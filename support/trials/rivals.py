"""Replicas that lack what others have received, so that it matters who takes over."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from support.cluster import markers
from support.cluster.standing import standing
from support.errors import Inconclusive, NotInTime
from support.faults.configuration import Tagged
from support.faults.network import OneWayCut
from support.trials.aftermath import ordeal_of
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

    Raises Inconclusive where it is the only replica, or where the others do not get ahead of it.
    """
    followers = sorted(world.cluster.followers())
    behind = world.random.choice(followers)
    rivals = Rivals(tuple(name for name in followers if name != behind), behind)
    if not rivals.ahead:
        raise Inconclusive(f"{behind} is the only replica")
    _hold_back(world, [behind], rivals.ahead)
    return rivals


def outrun(world: World) -> None:
    """Keep what the leader writes from every replica. Raises Inconclusive where they receive it all the same."""
    _hold_back(world, world.cluster.followers(), ())


def bar(world: World, rivals: Rivals) -> None:
    """Tag those who are ahead never to lead."""
    for name in rivals.ahead:
        ordeal_of(world).nemesis.inject(Tagged(world.cluster, name, {"nofailover": True}))


def _hold_back(world: World, behind: Collection[str], ahead: Collection[str]) -> None:
    cluster, namespace = world.cluster, world.another_namespace("rivals")
    for name in behind:
        ordeal_of(world).nemesis.inject(OneWayCut(cluster.sandbox, cluster.leader(), name))
    for number in range(_WRITES):
        markers.write(cluster.write, cluster.profile, namespace, f"write {number}")
    subject = f"{' and '.join(behind)} lack what the leader has written"
    try:
        eventually(partial(_require_lacking, world, behind, ahead), within=world.timing.visible, subject=subject)
    except NotInTime as error:
        raise Inconclusive(str(error)) from error


def _require_lacking(world: World, behind: Collection[str], ahead: Collection[str]) -> None:
    written = standing(world.cluster, world.cluster.leader()).wal
    received = {name: standing(world.cluster, name).wal for name in (*ahead, *behind)}
    if any(received[name] >= written for name in behind) or any(received[name] < written for name in ahead):
        raise NotYet(f"the leader has written {written} bytes; the replicas have received {received}")
