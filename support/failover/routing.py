"""Where the endpoints lead while something is wrong with a member: who leaves, who is back, whose sessions end."""

import select
import time
from collections.abc import Callable

import requests

from support import sql
from support.engine.recovery import require_within
from support.engine.world import World
from support.errors import ConnectFailed, Inconclusive
from support.failover import session_targets
from support.failover.checks import all_hung_up
from support.faults.network import Partition
from support.faults.replay import ReplayStuck
from support.target.failover_readiness import terms
from support.waiting import NotYet, eventually

_SILENT = (ConnectFailed, sql.Error, requests.RequestException)
_LOGINS = 6
"""So many logins in a row meet every replica of the read endpoint, for it serves them in turn."""


def let_fall_behind(world: World, replica: str) -> None:
    """The replica replays nothing until it is further behind than is allowed."""
    allowed = terms(world.cluster).allowed_lag
    world.experiment.inject(ReplayStuck(world.cluster, replica, 2 * allowed), replica)


def cut_stream(world: World, replica: str) -> None:
    """Nothing gets from the replica to the leader, nor back; both reach everybody else."""
    sandbox, leader = world.cluster.sandbox, world.cluster.leader()
    world.experiment.inject(Partition(sandbox, [replica], [leader]), replica)


def require_out_of_reads(world: World, limit: float) -> None:
    """New sessions on the read endpoint stop to land on the target member within `limit` seconds of the fault."""
    experiment = world.experiment

    def left() -> None:
        if experiment.target_member in (there := _readers(world)):
            raise NotYet(f"{_LOGINS} sessions landed on {' and '.join(sorted(there))}")

    _await_within(world, left, "the target member left the read endpoint", experiment.injected_fault.begun, limit)


def require_back_in_reads(world: World, limit: float) -> None:
    """The fault is healed, and new sessions on the read endpoint land on the target member within `limit` seconds."""
    experiment = world.experiment
    experiment.nemesis.heal()

    def back() -> None:
        if experiment.target_member not in (there := _readers(world)):
            raise NotYet(f"{_LOGINS} sessions landed on {' and '.join(sorted(there))}")

    _await_within(world, back, "the target member was back in the read endpoint", experiment.healing_since, limit)


def hold_sessions(world: World, count: int) -> None:
    """Open so many sessions through the write endpoint, which nobody uses. Raises Inconclusive unless all are on the
    leader."""
    for _ in range(count):
        world.sessions.append(sql.connect(world.cluster.write, autocommit=True))
    leader = session_targets.place(world.cluster.leader(), in_recovery=False)
    if elsewhere := set(session_targets.places(world.cluster, world.sessions)) - {leader}:
        raise Inconclusive(f"sessions through the write endpoint are on {' and '.join(sorted(elsewhere))}")


def require_hung_up(world: World, limit: float) -> None:
    """Each session that was held is ended by the other side within `limit` seconds of the fault."""
    begun = world.experiment.injected_fault.begun
    ended = _ends(world.sessions, until=begun + limit + world.timing.notice)
    if ended:
        world.measure("the last session was cut after", max(ended) - begun, "s", limit)
    all_hung_up(len(world.sessions), [when - begun for when in ended], limit).require()


def _readers(world: World) -> set[str]:
    """The members on which new sessions through the read endpoint land, all open at once."""
    opened: list[sql.Session] = []
    try:
        for _ in range(_LOGINS):
            opened.append(sql.connect(world.cluster.read, autocommit=True))
        return {place.partition(",")[0] for place in session_targets.places(world.cluster, opened)}
    finally:
        for session in opened:
            session.close()


def _ends(sessions: list[sql.Session], until: float) -> list[float]:
    """When each idle session was ended by the other side, as far as it was; seconds on the monotonic clock.

    Nobody speaks on an idle session unless to end it: what can be read there is a farewell, or the end itself.
    """
    lines, ended = {session.fileno() for session in sessions}, list[float]()
    while lines and (left := until - time.monotonic()) > 0:
        said, _, _ = select.select(lines, [], [], left)
        lines -= set(said)
        ended += [time.monotonic()] * len(said)
    return ended


def _await_within(world: World, probe: Callable[[], None], subject: str, since: float, limit: float) -> None:
    eventually(probe, within=round(since + limit - time.monotonic(), 1), subject=subject, retry_on=_SILENT)
    require_within(world, f"{subject} after", time.monotonic() - since, limit)
