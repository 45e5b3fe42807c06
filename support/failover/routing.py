"""Where sessions through the endpoints land, and what becomes of them when a member fails."""

import select
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from support import sql
from support.engine import markers
from support.engine.recovery import require_within
from support.engine.world import World
from support.example_app.profile import Profile
from support.failover.leader_views import NO_MEMBER
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, NoAnswer, Server, member_statuses, server
from support.waiting import NotYet, describe, eventually

_LOGINS = 6
"""Logins in a row that meet every replica of the read endpoint, which serves them in turn."""


def place(member: str, in_recovery: bool) -> str:
    """How the target of a session is written: the member, and whether it is a primary."""
    return f"{member}, {'in recovery' if in_recovery else 'primary'}"


def places(cluster: Cluster, sessions: Iterable[sql.Session]) -> list[str]:
    """The target of each session, as `place` writes it."""
    return [place(member, reached.in_recovery) for member, reached in _targets(cluster, sessions)]


def members(cluster: Cluster, sessions: Iterable[sql.Session]) -> list[str]:
    """The member that each session is on."""
    return [member for member, _ in _targets(cluster, sessions)]


def _targets(cluster: Cluster, sessions: Iterable[sql.Session]) -> list[tuple[str, Server]]:
    """A member is recognised by the time at which its server started."""
    known: dict[datetime, str] = {
        answer.started: name for name, answer in member_statuses(cluster).items() if not isinstance(answer, NoAnswer)
    }
    reached = [server(session) for session in sessions]
    return [(known.get(one.started, NO_MEMBER), one) for one in reached]


def writes(sessions: Iterable[sql.Session], profile: Profile, namespace: str) -> list[str]:
    """What came of a write on each session: "accepted", the condition that refused it, or how it was lost."""

    def write(session: sql.Session, key: str) -> None:
        session.rollback()
        markers.write(session, profile, namespace, key)
        session.commit()

    def outcome(session: sql.Session, key: str) -> str:
        error = sql.error_of(lambda: write(session, key))
        return "accepted" if error is None else sql.condition_of(error) or describe(error)

    return [outcome(session, f"write {number}") for number, session in enumerate(sessions)]


def require_out_of_reads(world: World, limit: float) -> None:
    """New sessions on the read endpoint stop landing on the target member within `limit` seconds of the fault."""
    experiment = world.experiment

    def left() -> None:
        if experiment.target_member in (there := _readers(world)):
            raise NotYet(f"{_LOGINS} sessions landed on {' and '.join(sorted(there))}")

    _await_within(world, left, "the target member left the read endpoint", experiment.injected_fault.begun, limit)


def require_back_in_reads(world: World, limit: float) -> None:
    """New sessions on the read endpoint land on the target member within `limit` seconds of the healing."""
    experiment = world.experiment

    def back() -> None:
        if experiment.target_member not in (there := _readers(world)):
            raise NotYet(f"{_LOGINS} sessions landed on {' and '.join(sorted(there))}")

    _await_within(world, back, "the target member was back in the read endpoint", experiment.healing_since, limit)


def _readers(world: World) -> set[str]:
    """The members on which new sessions through the read endpoint land, all of them open at once."""
    opened: list[sql.Session] = []
    try:
        for _ in range(_LOGINS):
            opened.append(sql.connect(world.cluster.read, autocommit=True))
        return set(members(world.cluster, opened))
    finally:
        for session in opened:
            session.close()


def _await_within(world: World, probe: Callable[[], None], subject: str, since: float, limit: float) -> None:
    eventually(probe, within=limit, subject=subject, retry_on=NO_ANSWER, since=since)
    require_within(world, f"{subject} after", time.monotonic() - since, limit)


def closings(sessions: Iterable[sql.Session], until: float) -> list[float]:
    """When the other side closed idle sessions, one time for each that it closed; monotonic clock, waits until `until`.

    On an idle session the server speaks only to end it, so anything that can be read is a farewell or the end itself.
    """
    lines, ended = {session.fileno() for session in sessions}, list[float]()
    while lines and (left := until - time.monotonic()) > 0:
        said, _, _ = select.select(lines, [], [], left)
        lines -= set(said)
        ended += [time.monotonic()] * len(said)
    return ended
