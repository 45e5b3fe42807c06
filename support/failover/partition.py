"""Partitions and a lost DCS: a leader that stops in time, a state that stays unchanged, a commit without a standby."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from support.engine import markers
from support.engine.checks.writers import last_accepted, lock_left, stopped_in_time
from support.engine.finding import Finding
from support.engine.isolated_leader import commit_alone
from support.engine.world import World
from support.errors import NotInTime
from support.failover.checks import Look, nothing_changed, refused_until
from support.faults.network import ALONE, partition_of_leader
from support.target import dcs, etcd
from support.target.cluster import Cluster
from support.target.leadership import Lease, aspects_of_state, cluster_state, lease
from support.target.members import NO_ANSWER
from support.waiting import NotYet, eventually, precondition, throughout

_PAUSE = 0.5  # seconds between two looks at the cluster's state


@dataclass(frozen=True)
class LockBefore:
    """The leader's lock right before a fault."""

    lease: Lease
    lock: etcd.Lock | None
    """None if the DCS does not tell when it was renewed."""


def lock_before(cluster: Cluster) -> LockBefore:
    """The leader's lock now. Call it last, right before the fault."""
    return LockBefore(lease(cluster), _lock_now(cluster))


def _lock_now(cluster: Cluster) -> etcd.Lock | None:
    with suppress(*NO_ANSWER):
        return etcd.lock(cluster.topology, cluster.group)
    return None


def require_stopped(world: World, before: LockBefore) -> None:
    """The former leader stopped accepting writes before its lock expired, and refuses until it surely has expired.

    etcd tells when the lock was last renewed: before the fault and, if it answers, once the fault is in effect. Patroni
    guarantees no more than this. A leader that cannot renew its lock retries for retry_timeout, from its next loop on.
    That loop begins up to loop_wait after the fault, but in that case the lock had just been renewed.
    """
    experiment, now = world.experiment, _lock_now(world.cluster)
    target_member, fault = experiment.target_member, experiment.injected_fault
    held = before.lock if before.lock and before.lock.owner == target_member else None
    same = held is not None and now is not None and (now.owner, now.made) == (held.owner, held.made)
    left = lock_left(
        before.lease.ttl,
        before.lease.renewed_every,
        begun=fault.begun,
        in_effect=fault.in_effect_since,
        renewed_before=held.renewed if held else None,
        renewed_after=now.renewed if now and same else None,
    )
    since = fault.begun

    def judged() -> Finding:
        finding = stopped_in_time(experiment.watch.samples, target_member, since, left)
        if finding.holds is not True and time.monotonic() < since + left.most + world.timing.visible:
            raise NotYet(finding.words)
        return finding

    finding = eventually(judged, within=left.most + 2 * world.timing.visible, subject=f"{target_member} refuses writes")
    accepted_for = last_accepted(experiment.watch.samples, target_member, since)
    world.measure("the former leader accepted writes for", accepted_for, "s", left.most)  # until then it is in doubt
    finding.require()

    def accepts_none() -> None:
        last = stopped_in_time(experiment.watch.samples, target_member, since, left)
        if last.holds is False:  # an unknown result is judged again at the end
            last.require()

    throughout(accepts_none, seconds=since + before.lease.surely_gone - time.monotonic(), pause=_PAUSE)
    stopped_in_time(experiment.watch.samples, target_member, since, left).require()


def require_refusing_until_healed(world: World) -> None:
    """From its first refusal the former leader accepted no write until the fault was healed; heals it if it lasts."""
    experiment = world.experiment
    target_member, fault, asked = experiment.target_member, experiment.injected_fault, time.monotonic()

    def refuses() -> None:
        own = [one for one in experiment.watch.samples if one.member == target_member and one.begun > asked]
        if not any(one.writable or one.refused for one in own):
            raise NotYet(f"none of {len(own)} questions was answered")

    if fault.healing is None:
        with suppress(NotInTime):  # judged below: silence is not a refusal
            eventually(refuses, within=world.timing.recovery, subject=f"{target_member} answers before the healing")
        experiment.heal()
    refused_until(experiment.watch.samples, target_member, fault.begun, experiment.healing_since).require()


def state_before_the_fault(world: World) -> Look:
    """The leader, its timeline and the routing. Raises Inconclusive if one of them gives no answer."""
    subject = "every member and the proxy report their state"
    with precondition():
        return eventually(partial(_whole_state, world), within=world.timing.notice, subject=subject)


def watch_state(world: World, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> list[Look]:
    """Look at the leader, its timeline and the routing again and again, for this many seconds from now on.

    `meanwhile` is called before each look. The last look is repeated until it gets an answer about everything, or until
    nobody can be waited for any longer.
    """
    looks: list[Look] = []

    def look() -> None:
        meanwhile()
        looks.append(cluster_state(world.cluster))

    throughout(look, seconds=seconds, pause=_PAUSE)
    if looks[-1].keys() != aspects_of_state(world.cluster):
        with suppress(NotInTime):  # judged by `nothing_changed`
            last = partial(_whole_state, world, looks)
            eventually(last, within=world.timing.notice, subject="every member and the proxy report their state")
    return looks


def _whole_state(world: World, looks: list[Look] | None = None) -> Look:
    state = cluster_state(world.cluster)
    if looks is not None:
        looks.append(state)
    if silent := aspects_of_state(world.cluster) - state.keys():
        raise NotYet(f"no answer about {', '.join(sorted(silent))}")
    return state


def require_unchanged(world: World, before: Look, looks: list[Look]) -> None:
    """Every look found the state of before the fault."""
    finding = nothing_changed([before, *looks])
    world.evidence.attach("the cluster's state during the fault", finding.words)
    finding.require()


def require_lock_renewed(world: World) -> None:
    """The leader still writes its WAL position to the DCS, as it does whenever it renews its lock."""
    within = world.timing.notice

    def position() -> int:
        return dcs.state(world.cluster.topology).position

    first = eventually(position, within=within, subject="the DCS answers", retry_on=NO_ANSWER)

    def newer() -> None:
        if eventually(position, within=within, subject="the DCS answers", retry_on=NO_ANSWER) == first:
            raise NotYet(f"the WAL position in the DCS has not changed: {first}")

    eventually(newer, within=within, subject="the leader renews its lock in the DCS")


UNREPLICATED = "unreplicated-entry"


def commit_unreplicated(world: World) -> str:
    """Cut the leader off from all other hosts, and commit an entry on it that no standby gets; returns its namespace.

    The suite's own clients still reach the leader. Raises Inconclusive if it did not take the entry: then there would
    be nothing for it to lose.
    """
    namespace = world.another_namespace("unreplicated")
    commit_alone(
        world,
        partition_of_leader(world.cluster, ALONE),
        lambda session: markers.write(session, world.profile, namespace, UNREPLICATED),
        lambda session: markers.is_there(session, world.profile, namespace, UNREPLICATED),
    )
    return namespace
