"""Asks every member at once, so that one that does not answer is a finding and not the end of the question.

Asking every group of a cluster the same.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import requests

from support import sql
from support.errors import ConnectFailed
from support.target.cluster import Cluster
from support.timeouts import REST
from support.waiting import NotYet, describe, eventually

T = TypeVar("T")

_CAUSE = re.compile(r"\[Errno \d+\] [\w ]+|(?<=Error\(\d{3}, ')[\w ]+")

SILENCE = (ConnectFailed, sql.Error, OSError, NotYet, ValueError)
"""What is raised where a member gives no (proper) answer."""


@dataclass(frozen=True)
class Silent:
    """A member gave no answer; `why` is one line."""

    why: str

    @classmethod
    def because(cls, error: BaseException) -> "Silent":
        """For an exception of SILENCE. What is said of an HTTP request that failed is cut down to its cause."""
        if isinstance(error, requests.Timeout):
            return cls(f"nothing within {REST:g} s")
        said = describe(error)
        cause = _CAUSE.search(said) if isinstance(error, requests.RequestException) else None
        return cls(cause[0] if cause else said)

    def __str__(self) -> str:
        return f"no answer ({self.why})"

    @property
    def row(self) -> dict[str, str]:
        """It as a row of a table."""
        return {"answer": str(self)}


@dataclass(frozen=True)
class Server:
    """What one PostgreSQL says of itself. `started` tells one server process from any other."""

    in_recovery: bool
    started: datetime


def ask_each(names: Iterable[str], question: Callable[[str], T]) -> dict[str, T | Silent]:
    """What each of the names answers to a question, all asked at the same time."""

    def answer(name: str) -> T | Silent:
        try:
            return question(name)
        except SILENCE as error:
            return Silent.because(error)

    asked = tuple(names)
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as askers:
        return dict(zip(asked, askers.map(answer, asked), strict=True))


def servers(cluster: Cluster) -> dict[str, Server | Silent]:
    """What each member's PostgreSQL says of itself, asked directly."""
    return ask_each(cluster.members, lambda name: server(cluster.of_member(name)))


def server(where: sql.Endpoint | sql.Session) -> Server:
    """The server at the other end of a login."""
    if isinstance(where, sql.Endpoint):
        with sql.session(where, connect_timeout=REST, statement_timeout=REST) as session:
            return server(session)
    return Server(*sql.rows(where, "SELECT pg_is_in_recovery(), pg_postmaster_start_time()")[0])


def settings(cluster: Cluster, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Member -> setting -> its value in a session of the application there, or why there was no answer."""
    wanted = list(names)

    def shown(member: str) -> dict[str, str]:
        with sql.session(cluster.of_member(member), connect_timeout=REST) as session:
            return dict(sql.rows(session, "SELECT n, current_setting(n) FROM unnest(%s) n", [wanted]))

    return {
        member: answer.row if isinstance(answer, Silent) else answer
        for member, answer in ask_each(cluster.members, shown).items()
    }


def health_checks(cluster: Cluster, paths: Iterable[str]) -> dict[str, Mapping[str, int] | Silent]:
    """The HTTP status of every health check of every member."""
    asked = tuple(paths)

    def answers(member: str) -> Mapping[str, int]:
        return {path: cluster.patroni(member).status_code(path) for path in asked}

    return ask_each(cluster.members, answers)


def configuration(cluster: Cluster) -> Mapping[str, Any]:
    """Patroni's configuration, which all members share, from any that answers. Raises NotYet if none does."""
    answers = ask_each(cluster.members, lambda name: cluster.patroni(name).configuration())
    for answer in answers.values():
        if not isinstance(answer, Silent):
            return answer
    raise NotYet(f"no member tells the configuration: {', '.join(f'{name}: {why}' for name, why in answers.items())}")


def in_each_group(cluster: Cluster, claim: Callable[[Cluster], object], subject: str) -> None:
    """Wait until a claim holds for each group, one after another. Raises NotInTime, which names the group."""
    for group in cluster.groups:
        where = f" in worker group {group.group}" if group.group else ""
        of_the_whole(group, claim, f"{subject}{where}")


def of_the_whole(cluster: Cluster, claim: Callable[[Cluster], object], subject: str) -> None:
    """Wait until a claim holds, for as long as the cluster may need until a change is seen everywhere."""
    within = cluster.topology.timing.visible
    eventually(partial(claim, cluster), within=within, subject=subject, retry_on=SILENCE)
