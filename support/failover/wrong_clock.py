"""A leader whose clock jumps: it must remain the leader, and whatever happens, no acknowledged write may be lost.

Patroni sleeps until its next loop is due by the wall clock. So after a jump back it stops renewing its lock.
Source: https://github.com/patroni/patroni/issues/3560 (state vanished and writes stuck for two hours)
"""

import math
import time
from contextlib import suppress

import psutil

from support.engine.checks.availability import longest_gap
from support.engine.finding import Finding, broken_together
from support.engine.ledger import APPEND
from support.engine.world import World
from support.failover.checks import Look, nothing_changed
from support.failover.leader_checks import Renewal, lock_ran_out, lock_renewed_in_time
from support.failover.partition import watch_state
from support.faults.clock import OwnClock
from support.target import dcs
from support.target.health import await_all
from support.target.leadership import Lease, only_members
from support.target.members import NO_ANSWER
from support.waiting import precondition

_AFTERWARDS = 10.0
"""Seconds for which the watch goes on after the lock would have expired: then two members may accept writes."""


def with_own_clock(world: World) -> OwnClock:
    """Give the leader's Patroni a clock that can be set, until the clients of the scenario are done.

    Raises Inconclusive if the cluster is not healthy after that.
    """
    clock = OwnClock(world.cluster, world.cluster.leader())
    world.experiment.prepare(clock, until_end=True)
    with precondition("the cluster is not healthy after a restart of the leader's Patroni"):
        await_all(world.cluster, world.timing.recovery)
    return clock


def require_leader_stays_where_promised(world: World, before: Look, lease: Lease) -> None:
    """The same member is the primary, on the same timeline, and renews its lock, until it would surely have expired.

    If not, that is a known limit where its Patroni, still running, left the lock unrenewed until it expired, unless
    [expect] clock_jumps declares that the leader's clock may jump back.
    """
    since = world.experiment.injected_fault.begun
    renewals, moments = list[Renewal](), list[float]()

    def read_dcs() -> None:
        moments.append(time.monotonic())
        with suppress(*NO_ANSWER):
            position = dcs.state(world.cluster.topology).position
            renewals.append(Renewal(time.monotonic(), position))

    looks = watch_state(world, lease.surely_gone + _AFTERWARDS, read_dcs)
    findings = (
        nothing_changed([only_members(before), *map(only_members, looks)]),
        lock_renewed_in_time(renewals, lease.ttl / 2),  # it is due every loop_wait, which is much shorter
    )
    gap = longest_gap(world.clients.history, APPEND, since, time.monotonic())
    interrupted = f"clients were interrupted for {gap.seconds if gap else 0:.1f} s"
    world.evidence.attach(
        "the leader after its clock jumped", "\n".join([*(one.words for one in findings), interrupted])
    )
    missed = [one for one in findings if one.holds is False]
    if not missed or world.cluster.topology.expectations.clock_jumps:
        for finding in findings:
            finding.require()
        return
    changed = next((number for number, one in enumerate(looks) if only_members(one).items() - before.items()), None)
    ended = [*moments[1:], time.monotonic()]  # each look before the next one
    seen_by = math.inf if changed is None else ended[min(changed, len(moments) - 1)]
    cause = lock_ran_out(renewals, since - lease.renewed_every, seen_by, lease.least_left)
    if cause.holds and not _runs_since(world, since):
        cause = Finding.false(f"{cause.words}; its Patroni did not sleep, but was started again")
    world.evidence.attach("why", cause.words)
    broken = broken_together(missed)
    world.require_or_known_limit(
        broken,
        cause,
        "a leader whose clock jumps back lets its lock expire, because its Patroni sleeps until its next loop is due "
        f"by that clock: {broken.words}; {interrupted} ([expect] clock_jumps)",
    )


def _runs_since(world: World, moment: float) -> bool:
    """Whether the Patroni of the affected member is the one that ran at that moment."""
    pid = world.cluster.sandbox.hosts[world.experiment.target_member].processes["patroni"].pid
    try:
        return pid is not None and time.time() - psutil.Process(pid).create_time() > time.monotonic() - moment
    except psutil.NoSuchProcess:
        return False
