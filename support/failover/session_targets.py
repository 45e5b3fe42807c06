"""Where sessions through an endpoint land, and what comes of a write there."""

from collections.abc import Iterable
from datetime import datetime

from support import sql
from support.engine import markers
from support.example_app.profile import Profile
from support.failover.leader_views import STRANGER
from support.target.cluster import Cluster
from support.target.members import NoAnswer, Server, member_statuses, server
from support.waiting import describe

PRIMARY, IN_RECOVERY = "primary", "in recovery"


def place(member: str, in_recovery: bool) -> str:
    """How a place where a session can be is written."""
    return f"{member}, {IN_RECOVERY if in_recovery else PRIMARY}"


def places(cluster: Cluster, sessions: Iterable[sql.Session]) -> list[str]:
    """The place of each session; a member is told by when its server started."""
    return [place(member, reached.in_recovery) for member, reached in _landed(cluster, sessions)]


def members(cluster: Cluster, sessions: Iterable[sql.Session]) -> list[str]:
    """The member on which each session is, told in the same way."""
    return [member for member, _ in _landed(cluster, sessions)]


def _landed(cluster: Cluster, sessions: Iterable[sql.Session]) -> list[tuple[str, Server]]:
    known: dict[datetime, str] = {
        answer.started: name for name, answer in member_statuses(cluster).items() if not isinstance(answer, NoAnswer)
    }
    reached = [server(session) for session in sessions]
    return [(known.get(one.started, STRANGER), one) for one in reached]


def writes(sessions: Iterable[sql.Session], profile: Profile, namespace: str) -> list[str]:
    """What came of a write on each session: "accepted", or the condition that refused it, or how it was lost."""

    def write(session: sql.Session, key: str) -> None:
        session.rollback()
        markers.write(session, profile, namespace, key)
        session.commit()

    def outcome(session: sql.Session, key: str) -> str:
        error = sql.error_of(lambda: write(session, key))
        return "accepted" if error is None else sql.condition_of(error) or describe(error)

    return [outcome(session, f"write {number}") for number, session in enumerate(sessions)]
