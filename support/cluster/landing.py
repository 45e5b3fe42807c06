"""Where sessions through an endpoint land: on which server, and whether that takes writes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from support import sql
from support.cluster import markers
from support.cluster.cluster import Cluster
from support.cluster.rollcall import Silent, server
from support.cluster.standing import standings
from support.cluster.witnesses import STRANGER


@dataclass(frozen=True)
class Landing:
    """Where one session is."""

    member: str
    in_recovery: bool
    write: str
    """What came of a write there: "accepted", or how it was refused."""


def landings(cluster: Cluster, sessions: Iterable[sql.Session], namespace: str) -> list[Landing]:
    """Where each session is, and what came of a write on it; a member is told by when its server started."""
    known = {answer.started: name for name, answer in standings(cluster).items() if not isinstance(answer, Silent)}
    return [_landing(session, known, namespace, f"session {number}") for number, session in enumerate(sessions)]


def _landing(session: sql.Session, known: Mapping[object, str], namespace: str, key: str) -> Landing:
    reached = server(session)
    refused = sql.error_of(lambda: markers.write(session, namespace, key))
    return Landing(known.get(reached.started, STRANGER), reached.in_recovery, sql.condition_of(refused) or "accepted")
