"""Who takes over from a leader: replicas that have received different amounts of WAL, and leaders lost in a row."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from support.engine import markers
from support.engine.recovery import inject_until_replaced, require_rejoined
from support.engine.world import World
from support.errors import Inconclusive
from support.failover.checks import a_replica_may_take_over
from support.faults.network import OneWayCut, deaf
from support.faults.patroni import Tagged
from support.faults.process import DataDestroyed, Freeze, HostCrash
from support.faults.roles import host_of
from support.hosts.interface import SiteHost
from support.target.cluster import Cluster
from support.target.failover_readiness import obstacles, terms
from support.target.members import NO_ANSWER, status_of
from support.target.purposes import candidates, purposes
from support.waiting import NotYet, eventually, precondition

_WRITES = 100
"""Enough for a difference, and by default far less than the lag at which Patroni bars a replica from taking over."""
_SHARE_OF_ALLOWED_LAG = 0.8
"""How much of it the replica may lack, since the leader writes on until it crashes."""


@dataclass(frozen=True)
class UnequalReplicas:
    """The replicas that have received everything, and the one that has not."""

    ahead: tuple[str, ...]
    behind: str


def unequal_replicas(cluster: Cluster, choose: Callable[[Sequence[str]], str]) -> UnequalReplicas:
    """The replica that is to lack WAL, and those that are to have it.

    Replicas that may not lead, or do not stream from the leader, are left out. The embedded cluster is an exception:
    nobody meant its tags, if it has any. Raises Inconclusive if fewer than two replicas remain.
    """
    able = sorted(cluster.followers()) if cluster.topology.embedded else candidates(purposes(cluster))
    if len(able) < 2:
        raise Inconclusive(f"of the replicas, only {' and '.join(able) or 'none'} may lead and streams from the leader")
    behind = choose(able)
    return UnequalReplicas(tuple(name for name in able if name != behind), behind)


def cut_of_one(cluster: Cluster, replicas: UnequalReplicas) -> OneWayCut:
    """Packets from the leader do not reach the replica that is to lack WAL."""
    return deaf(cluster, replicas.behind)


def bars_of_others(cluster: Cluster, replicas: UnequalReplicas) -> Sequence[Tagged]:
    """Every other member that may lead, wherever it streams from, is tagged so that it never does."""
    others = {name for name, one in purposes(cluster).items() if one.may_lead and not one.leads}
    barred = sorted({*replicas.ahead, *others} - {replicas.behind})
    return [Tagged(cluster, name, {"nofailover": True}) for name in barred]


def require_may_lead(cluster: Cluster, replicas: UnequalReplicas) -> None:
    """Raises Inconclusive if the replica that lacks WAL lacks so much by now that Patroni might not let it lead.

    Other clients write as well, and with archive_timeout PostgreSQL begins a new segment now and then: that is 16 MB.
    """

    def read() -> tuple[int, int]:
        now = terms(cluster)
        return now.written - status_of(cluster, replicas.behind).wal, now.allowed_lag

    with precondition():
        subject = f"{replicas.behind} and the leader tell their positions in the WAL"
        lag, allowed = eventually(read, within=cluster.topology.timing.notice, subject=subject, retry_on=NO_ANSWER)
    if lag > _SHARE_OF_ALLOWED_LAG * allowed:
        raise Inconclusive(
            f"{replicas.behind} lacks {lag:,} bytes of WAL by now, and Patroni lets no replica lead that lacks more "
            f"than {allowed:,} (maximum_lag_on_failover)"
        )


def let_one_lag(world: World) -> UnequalReplicas:
    """Keep the leader's WAL from one replica, chosen at random, until it lacks WAL that the others have.

    Raises Inconclusive if there are fewer than two suitable replicas, or if the others do not get ahead of it.
    """
    replicas = unequal_replicas(world.cluster, world.random.choice)
    world.experiment.prepare(cut_of_one(world.cluster, replicas))
    _write_until_they_lack(world, [replicas.behind], replicas.ahead)
    return replicas


def cuts_of_all(cluster: Cluster) -> Sequence[OneWayCut]:
    """Packets from the leader do not reach any replica."""
    return [deaf(cluster, name) for name in cluster.followers()]


def hold_back(world: World) -> None:
    """Keep the leader's WAL from every replica, and write until they lack some of it.

    Raises Inconclusive if they receive it nevertheless.
    """
    cuts = cuts_of_all(world.cluster)
    for cut in cuts:
        world.experiment.prepare(cut)
    _write_until_they_lack(world, [cut.target for cut in cuts])


def _write_until_they_lack(world: World, behind: Collection[str], ahead: Collection[str] = ()) -> None:
    cluster, namespace = world.cluster, world.another_namespace("unequal")
    for number in range(_WRITES):
        markers.write(cluster.write, cluster.profile, namespace, f"write-{number}")

    def lacking() -> None:
        written = status_of(cluster, cluster.leader()).wal
        received = {name: status_of(cluster, name).wal for name in (*ahead, *behind)}
        if any(received[name] >= written for name in behind) or any(received[name] < written for name in ahead):
            raise NotYet(f"the leader has written {written} bytes; the replicas have received {received}")

    with precondition():
        subject = f"{' and '.join(behind)} lack what the leader has written"
        eventually(lacking, within=world.timing.visible, subject=subject, retry_on=NO_ANSWER)


_Loss = HostCrash | Freeze | DataDestroyed
LOSSES: Mapping[str, Callable[[SiteHost], _Loss]] = {
    "its host crashes": HostCrash,
    "its host freezes": Freeze,
    "its data directory is destroyed": DataDestroyed,
}
"""How a leader can be lost."""


def loss_of_leader(cluster: Cluster, how: str) -> _Loss:
    """The current leader is lost in one of the ways in LOSSES. Raises LookupError for an unknown loss."""
    return LOSSES[how](host_of(cluster, "the leader"))


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
        inject_until_replaced(world, loss_of_leader(world.cluster, loss))
        require_rejoined(world)
