"""Replicas that lack what others have received, so that it matters who takes over.

A leader that writes what no other member ever hears of.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from support import sql
from support.engine import markers
from support.engine.recovery import levelled
from support.engine.world import World
from support.errors import Inconclusive, NotInTime
from support.faults.network import OneWayCut, Partition
from support.faults.patroni import Tagged
from support.target.members import status_of
from support.waiting import NotYet, describe, eventually

_WRITES = 100
"""Enough for a difference, and far less than what makes Patroni pass over a replica as too far behind."""


@dataclass(frozen=True)
class ConcurrentLeaders:
    """The replicas that have received everything, and the one that has not."""

    ahead: tuple[str, ...]
    behind: str


def part(world: World) -> ConcurrentLeaders:
    """Keep what the leader writes from one replica, by chance, until it lacks some of it.

    Raises Inconclusive where it is the only replica, or where the others do not get ahead of it.
    """
    followers = sorted(world.cluster.followers())
    behind = world.random.choice(followers)
    rivals = ConcurrentLeaders(tuple(name for name in followers if name != behind), behind)
    if not rivals.ahead:
        raise Inconclusive(f"{behind} is the only replica")
    _hold_back(world, [behind], rivals.ahead)
    return rivals


def outrun(world: World) -> None:
    """Keep what the leader writes from every replica. Raises Inconclusive where they receive it all the same."""
    _hold_back(world, world.cluster.followers(), ())


def bar(world: World, rivals: ConcurrentLeaders) -> None:
    """Tag those who are ahead never to lead."""
    for name in rivals.ahead:
        world.experiment.nemesis.inject(Tagged(world.cluster, name, {"nofailover": True}))


def _hold_back(world: World, behind: Collection[str], ahead: Collection[str]) -> None:
    cluster, namespace = world.cluster, world.another_namespace("rivals")
    for name in behind:
        world.experiment.nemesis.inject(OneWayCut(cluster.sandbox, cluster.leader(), name))
    for number in range(_WRITES):
        markers.write(cluster.write, cluster.profile, namespace, f"write {number}")
    subject = f"{' and '.join(behind)} lack what the leader has written"
    try:
        eventually(partial(_require_lacking, world, behind, ahead), within=world.timing.visible, subject=subject)
    except NotInTime as error:
        raise Inconclusive(str(error)) from error


def _require_lacking(world: World, behind: Collection[str], ahead: Collection[str]) -> None:
    written = status_of(world.cluster, world.cluster.leader()).wal
    received = {name: status_of(world.cluster, name).wal for name in (*ahead, *behind)}
    if any(received[name] >= written for name in behind) or any(received[name] < written for name in ahead):
        raise NotYet(f"the leader has written {written} bytes; the replicas have received {received}")


LONE = "the lone entry"


def write_alone(world: World) -> None:
    """Cut the leader off from all other hosts, and commit an entry on it alone. Clients of the suite still reach it.

    Raises Inconclusive when it did not take the entry: there would be nothing that it has to lose.
    """
    experiment, leader = world.experiment, world.cluster.leader()
    sandbox, namespace = world.cluster.sandbox, world.another_namespace("alone")
    with sql.session(world.cluster.of_member(leader)) as session:
        sql.execute(session, "SET synchronous_commit = local")
        experiment.inject(Partition(sandbox, [leader], [host for host in sandbox.hosts if host != leader]), leader)
        refused = sql.error_of(lambda: markers.write(session, world.profile, namespace, LONE))
        if refused is not None or not markers.is_there(session, world.profile, namespace, LONE):
            why = describe(refused) if refused else "it is not there"
            raise Inconclusive(f"{leader}, cut off, took no entry of its own: {why}")


def holders_of_lone_entry(world: World) -> list[str]:
    """The members that hold the entry which the cut-off leader wrote, each asked past the proxy once it is level."""
    (namespace,) = [one for one in world.further_namespaces if one.endswith("-alone")]
    places = levelled(world, world.cluster.members)
    return [name for name, where in places.items() if markers.is_there(where, world.profile, namespace, LONE)]
