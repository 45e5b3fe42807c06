"""Who takes over from a leader: replicas that have received different amounts of WAL, and leaders lost in a row."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from support.engine import markers
from support.engine.recovery import inject_until_replaced, require_rejoined
from support.engine.world import World
from support.errors import Inconclusive, NotInTime
from support.failover.checks import a_replica_may_take_over
from support.faults.nemesis import Fault
from support.faults.network import OneWayCut
from support.faults.process import DataDestroyed, Freeze, HostCrash
from support.faults.roles import host_of
from support.hosts.interface import SiteHost
from support.target.failover_readiness import obstacles
from support.target.members import NO_ANSWER, status_of
from support.target.purposes import candidates, purposes
from support.waiting import NotYet, eventually

_WRITES = 100
"""Enough for a difference, and far less than the lag at which Patroni bars a replica from taking over."""


@dataclass(frozen=True)
class UnequalReplicas:
    """The replicas that have received everything, and the one that has not."""

    ahead: tuple[str, ...]
    behind: str


def let_one_lag(world: World) -> UnequalReplicas:
    """Keep what the leader writes from one replica, chosen at random, until it lacks WAL that the others have.

    Those that may not lead, or do not stream from the leader, are left out; but not in the embedded cluster: whatever
    its tags say, nobody meant them. Raises Inconclusive if there is only one other, or if the others do not get ahead
    of it.
    """
    cluster = world.cluster
    able = sorted(cluster.followers()) if cluster.topology.embedded else candidates(purposes(cluster))
    if len(able) < 2:
        raise Inconclusive(f"of the replicas, only {' and '.join(able) or 'none'} may lead and streams from the leader")
    behind = world.random.choice(able)
    replicas = UnequalReplicas(tuple(name for name in able if name != behind), behind)
    hold_back(world, [behind], replicas.ahead)
    return replicas


def hold_back(world: World, behind: Collection[str], ahead: Collection[str] = ()) -> None:
    """Keep what the leader writes from these replicas, and write until they lack some of it.

    Raises Inconclusive if they receive it all the same, or if those that should be ahead do not.
    """
    cluster, namespace = world.cluster, world.another_namespace("unequal")
    for name in behind:
        world.experiment.prepare(OneWayCut(cluster.site, cluster.leader(), name))
    for number in range(_WRITES):
        markers.write(cluster.write, cluster.profile, namespace, f"write {number}")

    def lacking() -> None:
        written = status_of(cluster, cluster.leader()).wal
        received = {name: status_of(cluster, name).wal for name in (*ahead, *behind)}
        if any(received[name] >= written for name in behind) or any(received[name] < written for name in ahead):
            raise NotYet(f"the leader has written {written} bytes; the replicas have received {received}")

    try:
        subject = f"{' and '.join(behind)} lack what the leader has written"
        eventually(lacking, within=world.timing.visible, subject=subject, retry_on=NO_ANSWER)
    except NotInTime as error:
        raise Inconclusive(str(error)) from error


LOSSES: Mapping[str, Callable[[SiteHost], Fault]] = {
    "its host crashes": HostCrash,
    "its host freezes": Freeze,
    "its data directory is destroyed": DataDestroyed,
}
"""How a leader can be lost."""


def lose_leaders(world: World, losses: Iterable[str]) -> None:
    """Lose one leader after another, each as LOSSES names it; it is replaced and streams again before the next loss.

    Raises LookupError for an unknown loss, NotInTime if the cluster does not recover from one.
    """

    def require_successor() -> None:
        a_replica_may_take_over(obstacles(world.cluster)).require()

    ready = partial(
        eventually,
        require_successor,
        within=world.timing.rejoin,
        subject="a replica may take over",
        retry_on=NO_ANSWER,
    )
    for loss in losses:
        ready()
        host = host_of(world.cluster, "the leader")
        inject_until_replaced(world, LOSSES[loss](host), host.name)
        require_rejoined(world)
