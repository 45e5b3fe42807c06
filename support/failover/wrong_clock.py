"""A leader whose clock jumps: it must remain the leader, and whatever happens, no acknowledged write may be lost.

Patroni sleeps until its next loop is due by the wall clock. So after a jump back it stops renewing its lock.
Source: https://github.com/patroni/patroni/issues/3560 (state vanished and writes stuck for two hours)
"""

import time
from contextlib import suppress

from support.engine.checks.availability import longest_gap
from support.engine.ledger import APPEND
from support.engine.world import World
from support.errors import Inconclusive, NotInTime
from support.failover.checks import Look, nothing_changed
from support.failover.leader_checks import Renewal, lock_renewed_in_time
from support.failover.partition import watch_state
from support.faults.clock import OwnClock
from support.faults.nemesis import Nemesis
from support.target import dcs
from support.target.health import await_all
from support.target.leadership import Lease, only_members
from support.target.members import NO_ANSWER

_AFTERWARDS = 10.0
"""Seconds for which the watch goes on after the lock would have expired: then two members may accept writes."""


def with_own_clock(world: World) -> OwnClock:
    """Give the leader's Patroni a clock that can be set, until the clients of the scenario are done.

    Raises Inconclusive if the cluster is not healthy after that.
    """
    clock = OwnClock(world.cluster, world.cluster.leader())
    world.cleanup.enter_context(Nemesis(world.timing.effect)).inject(clock)
    try:
        await_all(world.cluster, world.timing.recovery)
    except NotInTime as error:
        raise Inconclusive(f"the cluster is not healthy after a restart of the leader's Patroni: {error}") from error
    return clock


def require_leader_stays_where_promised(world: World, before: Look, lease: Lease) -> None:
    """The same member is the primary, on the same timeline, and renews its lock, until it would surely have expired.

    If not, that is a known limit, unless [expect] clock_jumps declares that the leader's clock may jump back.
    """
    since = world.experiment.injected_fault.begun
    renewals: list[Renewal] = []

    def read_dcs() -> None:
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
    broken = [one.words for one in findings if one.holds is False]
    if not broken or world.cluster.topology.expectations.clock_jumps:
        for finding in findings:
            finding.require()
    else:
        world.known_limit(
            "a leader whose clock jumps back lets its lock expire, because its Patroni sleeps until its next loop is "
            f"due by that clock: {'; '.join(broken)}; {interrupted} ([expect] clock_jumps)"
        )
