"""The leader and its synchronous standby are lost together: nobody may lead who may lack what was acknowledged.

Sources: https://github.com/cloudnative-pg/cloudnative-pg/issues/1688 (the replica that had been away for longest became
the primary), https://gocardless.com/blog/incident-review-api-and-dashboard-outage-on-10th-october/
"""

import time
from dataclasses import dataclass
from functools import partial

from support.engine.recovery import require_accepted_again
from support.engine.world import World
from support.errors import Inconclusive
from support.failover.leader_checks import nobody_took_over
from support.faults.process import HostCrash, crash_of_member, crash_of_members
from support.faults.roles import member_by_role
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, server
from support.target.patroni_configuration import configuration_of
from support.target.purposes import purposes, sources
from support.target.synchronous import standbys_waited_for
from support.target.timing import Span
from support.vocabulary import Kind
from support.waiting import eventually, precondition, throughout

LOST = Kind("lost member", ("the former leader", "a synchronous standby"))
"""Who was lost together, by what each was before."""
_LOOK = 0.5  # seconds between two looks


@dataclass(frozen=True)
class Lost:
    """The members that were lost together."""

    leader: str
    standbys: tuple[str, ...]
    """As many standbys as commits waited for."""
    left: tuple[str, ...]
    """The other members: each may lack acknowledged writes."""


def members_with_every_commit(cluster: Cluster) -> tuple[str, ...]:
    """Standbys that together are enough for a commit: without them and the leader, acknowledged writes may be missing.

    Where commits wait for none, although they should, it is a replica that may take over. Raises Inconclusive if
    every replica has every commit.
    """
    count = configuration_of(cluster).standbys
    found = sorted(standbys_waited_for(cluster))[:count] or [member_by_role(cluster, "a replica that may lead")]
    if set(found) >= set(cluster.followers()):
        raise Inconclusive(f"commits wait for every replica ({', '.join(found)}), so none can lack acknowledged writes")
    return tuple(found)


def spare_replica(cluster: Cluster) -> str:
    """The first of `spare_replicas`."""
    return spare_replicas(cluster)[0]


def spare_replicas(cluster: Cluster) -> list[str]:
    """The replicas that stream, and that nobody needs: no commit waits for them, and no member streams from them.

    Without one of them writes go on, and nobody else misses any. First those that leave one that may lead, if one of
    them can. Raises Inconclusive if there is none.
    """
    known = purposes(cluster)
    needed = sorted(standbys_waited_for(cluster))[: configuration_of(cluster).standbys]
    others = [name for name in sorted(cluster.followers()) if known[name].source and name not in needed]
    if not others:
        raise Inconclusive(f"commits wait for every replica that streams ({', '.join(needed) or 'there is none'})")
    spare = [name for name in others if name not in sources(known)]
    if not spare:
        raise Inconclusive(f"others stream from each replica that no commit waits for ({', '.join(others)})")
    able = next((name for name in (*needed, *others) if known[name].may_lead), "")
    return sorted(spare, key=lambda name: name == able)


def without_one_replica(world: World) -> str:
    """Let a replica crash without which writes go on; returns its name."""
    away = spare_replica(world.cluster)
    world.experiment.prepare(crash_of_member(world.cluster, away))
    return away


def to_be_lost(cluster: Cluster) -> Lost:
    """The leader and the standbys that have every commit now."""
    leader, standbys = cluster.leader(), members_with_every_commit(cluster)
    return Lost(leader, standbys, tuple(name for name in cluster.members if name not in (leader, *standbys)))


def joint_crash(cluster: Cluster, lost: Lost) -> HostCrash:
    """The hosts of all members to be lost crash at once."""
    return crash_of_members(cluster, [lost.leader, *lost.standbys])


def lose_together(world: World) -> Lost:
    """Let the hosts of the leader and of the standbys that have every commit crash at once."""
    lost = to_be_lost(world.cluster)
    world.experiment.inject(joint_crash(world.cluster, lost))
    return lost


def switch_on(world: World, member: str) -> None:
    """Switch a member's host on, and wait until its PostgreSQL answers. Raises Inconclusive if it does not."""
    world.cluster.site.hosts[member].power_on()

    with precondition():
        eventually(
            lambda: server(world.cluster.of_member(member)),
            within=world.timing.rejoin,
            subject=f"{member} answers",
            retry_on=NO_ANSWER,
        )


def require_nobody_leads(world: World, lost: Lost) -> None:
    """None of the members that are left accepts a write, from the loss until a failover would surely be over."""
    since = world.experiment.injected_fault.begun
    failover = world.timing.total(Span.FAILOVER)
    # Whoever has come back since then needs no less time to take over, once the lock of the former leader has expired.
    until = max(since + failover, time.monotonic() + failover - world.timing.ttl)
    judged = partial(nobody_took_over, members=lost.left, since=since)

    def watch() -> None:
        finding = judged(world.experiment.watch.samples, until=time.monotonic())
        if finding.holds is False:
            finding.require()

    throughout(watch, seconds=until - time.monotonic(), pause=_LOOK)
    finding = judged(world.experiment.watch.samples, until=time.monotonic())
    world.evidence.attach("who took over", finding.words)
    world.measure("nobody led for", time.monotonic() - since, "s")
    finding.require()


def require_led_again(world: World, lost: Lost, who: str, limit: float) -> None:
    """Switch on the host of one of those that were lost: writes are acknowledged again within `limit` seconds."""
    back = lost.leader if who == LOST.values[0] else lost.standbys[0]
    require_accepted_again(world, world.cluster.site.hosts[back].power_on, limit)
