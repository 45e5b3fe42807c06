"""The members of a group, asked directly: what Patroni and PostgreSQL on each of them say of themselves.

All members are asked at the same time. A member that does not answer is part of the result (`NoAnswer`), not an error.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import requests

from support import sql
from support.errors import ConnectFailed, Inconclusive, LimitExceeded, NotInTime
from support.target.cluster import Cluster
from support.target.purposes import purposes
from support.target.topology import Address
from support.timeouts import REST
from support.waiting import NotYet, describe, eventually

T = TypeVar("T")

NO_ANSWER = (ConnectFailed, sql.Error, OSError, NotYet, ValueError)
"""What is raised where a component gives no answer, or none that can be read. (requests' errors are OSErrors.)"""
_NUMBERS = re.compile(r"\d+(\.\d+)*")
_CAUSE = re.compile(r"\[Errno -?\d+\] [\w ]+|certificate verify failed: .+?(?=\.? \(_ssl)|(?<=Error\(\d{3}, ')[\w ]+")


@dataclass(frozen=True)
class NoAnswer:
    """Nothing was answered; `why` is one line."""

    why: str

    @classmethod
    def because(cls, error: BaseException) -> "NoAnswer":
        """For an exception of NO_ANSWER. The message of a failed HTTP request is cut down to its cause."""
        if isinstance(error, requests.Timeout):
            return cls(f"nothing within {REST:g} s")
        said = describe(error)
        cause = _CAUSE.search(said) if isinstance(error, requests.RequestException) else None
        return cls(cause[0] if cause else said)

    def __str__(self) -> str:
        return f"no answer ({self.why})"

    @property
    def row(self) -> dict[str, str]:
        """The missing answer, as a row of a table."""
        return {"answer": str(self)}


def ask_in_parallel(names: Iterable[str], question: Callable[[str], T]) -> dict[str, T | NoAnswer]:
    """Name -> what `question(name)` returns, all called at the same time; NoAnswer where it raised NO_ANSWER."""

    def answer(name: str) -> T | NoAnswer:
        try:
            return question(name)
        except NO_ANSWER as error:
            return NoAnswer.because(error)

    asked = tuple(names)
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as threads:
        return dict(zip(asked, threads.map(answer, asked), strict=True))


def ask_everyone(cluster: Cluster, names: Iterable[str], question: Callable[[str], T]) -> dict[str, T | NoAnswer]:
    """`ask_in_parallel`, but retries silent members for `timing.notice` seconds."""
    answers = ask_in_parallel(names, question)

    def answered() -> None:
        answers.update(ask_in_parallel(heard_and_silent(answers)[1], question))
        if silent := heard_and_silent(answers)[1]:
            raise NotYet("; ".join(f"{name}: {why}" for name, why in silent.items()))

    with suppress(NotInTime):  # the caller decides what silence means
        eventually(answered, within=cluster.topology.timing.notice, subject="every member answers")
    return answers


def heard_and_silent(answers: Mapping[str, T | NoAnswer]) -> tuple[dict[str, T], dict[str, str]]:
    """Member -> its answer, and member -> why it gave none."""
    heard = {name: answer for name, answer in answers.items() if not isinstance(answer, NoAnswer)}
    return heard, {name: answer.why for name, answer in answers.items() if isinstance(answer, NoAnswer)}


# Member status: by Patroni, of the PostgreSQL beside it, now

LEADER, REPLICA = "leader", "replica"
"""The role of a PostgreSQL, by itself."""
THE_LEADER, A_REPLICA, AN_ARCHIVE_REPLICA = "the leader", "a replica", "a replica that reads the archive"
"""The role of a member, by the leader key and its tags."""


@dataclass(frozen=True)
class MemberStatus:
    """One member as it is now."""

    role: str
    """LEADER or REPLICA, as its PostgreSQL reports, regardless of the leader key."""
    state: str
    """"running" when it serves."""
    replication: str
    """"streaming" on a healthy replica, "none" on the leader; UNTOLD if its Patroni does not say it."""
    timeline: int
    """0 while the member does not know it: a replica without a leader asks nobody."""
    wal: int
    """The end of the WAL that it has, in bytes."""
    synchronous: bool
    """Whether it is a synchronous (or quorum) standby, by Patroni's state in the DCS."""
    started: datetime
    """When its PostgreSQL started; distinguishes one server process from any other."""
    streams: Mapping[str, str]
    """Standby that streams from it -> sync, quorum, potential or async, by its own PostgreSQL."""
    sends: frozenset[str] = frozenset()
    """The standbys to which it sends WAL now: those of `streams` that are streaming or catching up."""


UNTOLD = "not told"
_TELLS_REPLICATION = (3, 0, 4)
"""The oldest Patroni that says whether its own member streams."""
_SENDING = frozenset({"streaming", "catchup"})


def member_statuses(cluster: Cluster) -> dict[str, MemberStatus | NoAnswer]:
    """The status of every member now."""
    return ask_in_parallel(cluster.members, lambda name: status_of(cluster, name))


def status_of(cluster: Cluster, name: str) -> MemberStatus:
    """The status of one member now. Raises NotYet while its PostgreSQL gives no answer.

    If its Patroni is too old to say whether it streams, the members from which it may stream are asked.
    """
    status = parsed(name, cluster.patroni(name).status())
    if status.replication != UNTOLD:
        return status
    others = [other for other in cluster.members if other != name]
    answers = ask_in_parallel(others, lambda other: parsed(other, cluster.patroni(other).status()))
    return replace(status, replication=_replication(name, answers))


def _replication(name: str, others: Mapping[str, MemberStatus | NoAnswer]) -> str:
    """The state of a replica's replication by the other members."""
    heard = [answer for answer in others.values() if not isinstance(answer, NoAnswer)]
    if any(name in answer.sends for answer in heard):
        return "streaming"
    silent = [f"{other}: {answer}" for other, answer in others.items() if isinstance(answer, NoAnswer)]
    return f"{UNTOLD} ({'; '.join(silent)})" if silent else "none"


def parsed(name: str, status: Mapping[str, Any]) -> MemberStatus:
    """A member's answer to /patroni. Raises NotYet if it lacks the state of its PostgreSQL."""
    if "xlog" not in status:
        raise NotYet(f"PostgreSQL of {name} is {status.get('state', 'in an unknown state')}")
    role = REPLICA if status["role"] in ("replica", "standby_leader") else LEADER
    told = role == LEADER or _version(status) >= _TELLS_REPLICATION
    wal, standbys = status["xlog"], status.get("replication") or ()
    return MemberStatus(
        role=role,
        state=str(status["state"]),
        replication=str(status.get("replication_state", "none" if told else UNTOLD)),
        timeline=int(status.get("timeline") or 0),
        wal=int(wal.get("location", wal.get("received_location", 0)) or 0),
        synchronous=bool(status.get("sync_standby") or status.get("quorum_standby")),
        started=datetime.fromisoformat(status["postmaster_start_time"]),
        streams={one["application_name"]: one["sync_state"] for one in standbys},
        sends=frozenset(one["application_name"] for one in standbys if one.get("state") in _SENDING),
    )


def _version(status: Mapping[str, Any]) -> tuple[int, ...]:
    """The version of the Patroni that answered; that of the newest if it does not say it."""
    about = status.get("patroni")
    said = _NUMBERS.match(str(about.get("version", ""))) if isinstance(about, Mapping) else None
    return tuple(map(int, said[0].split("."))) if said else _TELLS_REPLICATION


def replica_states(cluster: Cluster) -> dict[str, str]:
    """Replica -> its state as Patroni's members know it: "streaming" if it streams.

    Of an old Patroni they know no more than "running"; there those that send to it are asked.
    """
    return {
        one.name: "streaming" if one.state == "running" and _streams_untold(cluster, one.name) else one.state
        for one in cluster.view().replicas
    }


def _streams_untold(cluster: Cluster, name: str) -> bool:
    """Whether a replica streams although its Patroni is too old to say so. False if it does not answer."""
    try:
        told = _version(cluster.patroni(name).status()) >= _TELLS_REPLICATION
        return not told and status_of(cluster, name).replication == "streaming"
    except NO_ANSWER:
        return False


def status_table(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Member -> role, PostgreSQL, replication, timeline (compared with the leader's)."""
    leading = status_of(cluster, cluster.leader()).timeline
    return {
        name: one.row
        if isinstance(one, NoAnswer)
        else {
            "role": one.role,
            "PostgreSQL": one.state,
            "replication": one.replication,
            "timeline": "the leader's" if one.timeline == leading else str(one.timeline),
        }
        for name, one in member_statuses(cluster).items()
    }


def roles(cluster: Cluster) -> dict[str, str]:
    """Member -> THE_LEADER for the holder of the leader key, else how it replicates. Raises NotYet without a leader."""
    known = purposes(cluster)
    return {
        name: THE_LEADER if known[name].leads else AN_ARCHIVE_REPLICA if known[name].archive else A_REPLICA
        for name in cluster.members
    }


def addresses_among_members(cluster: Cluster) -> dict[str, Address]:
    """Member -> where the others reach its PostgreSQL (Patroni's connect_address).

    Raises Inconclusive if any of them is unknown.
    """
    told = {one.name: one for one in cluster.view().members}
    found = {name: Address(one.host, one.port) for name, one in told.items() if one.host and one.port}
    if unknown := [name for name in cluster.members if name not in found]:
        raise Inconclusive(
            f"Patroni does not tell where the other members reach the PostgreSQL of {', '.join(sorted(unknown))} "
            "(postgresql.connect_address)"
        )
    return found


def require_as_declared(cluster: Cluster) -> None:
    """Raises AssertionError where the members of all groups, by Patroni, are not those that [expect] declares.

    It is a LimitExceeded where some are only missing: one that gets no processor is forgotten until it does.
    """
    declared = cluster.topology.expectations.members
    if declared is None:
        return
    known = sorted(name for group in cluster.groups for name in _known_members(group))
    if isinstance(declared, int):
        too_many = len(known) > declared
        different = [] if len(known) == declared else [f"Patroni knows {len(known)}: {', '.join(known)}"]
    else:
        missing, further = sorted({*declared} - {*known}), sorted({*known} - {*declared})
        too_many = bool(further)
        different = [f"Patroni does not know {', '.join(missing)}"] if missing else []
        different += [f"Patroni knows {', '.join(further)} as well"] if further else []
    if different:
        told = declared if isinstance(declared, int) else ", ".join(declared)
        kind = AssertionError if too_many else LimitExceeded
        raise kind(f"members were declared ([expect] members: {told}), and {'; '.join(different)}")


def _known_members(group: Cluster) -> Collection[str]:
    """By Patroni; a group of Citus nodes without Patroni consists of its nodes."""
    if all(group.address_of(name).rest is None for name in group.members):
        return group.members
    return [member.name for member in group.view().members]


def health_checks(cluster: Cluster, paths: Iterable[str]) -> dict[str, Mapping[str, int] | NoAnswer]:
    """Member -> path of a health check -> the HTTP status that Patroni answers it with."""
    asked = tuple(paths)

    def answers(member: str) -> Mapping[str, int]:
        return {path: cluster.patroni(member).status_code(path) for path in asked}

    return ask_in_parallel(cluster.members, answers)


# By PostgreSQL itself, past the proxy


@dataclass(frozen=True)
class Server:
    """What one PostgreSQL says of itself. `started` distinguishes one server process from any other."""

    in_recovery: bool
    started: datetime


def servers(cluster: Cluster) -> dict[str, Server | NoAnswer]:
    """What each member's PostgreSQL says of itself."""
    return ask_in_parallel(cluster.members, lambda name: server(cluster.of_member(name)))


def server(where: sql.Endpoint | sql.Session) -> Server:
    """The server that serves this session, or a new session to this endpoint."""
    if isinstance(where, sql.Endpoint):
        with sql.session(where, connect_timeout=REST, statement_timeout=REST) as session:
            return server(session)
    return Server(*sql.rows(where, "SELECT pg_is_in_recovery(), pg_postmaster_start_time()")[0])


def settings(cluster: Cluster, names: Iterable[str]) -> dict[str, dict[str, str] | NoAnswer]:
    """Member -> setting -> its value in a session of the application there, or why there was no answer."""
    wanted = list(names)

    def shown(member: str) -> dict[str, str]:
        with sql.session(cluster.of_member(member), connect_timeout=REST) as session:
            return dict(sql.rows(session, "SELECT n, current_setting(n) FROM unnest(%s::text[]) n", [wanted]))

    return ask_in_parallel(cluster.members, shown)


# Waiting for what holds of every member


def in_each_group(
    cluster: Cluster, claim: Callable[[Cluster], object], subject: str, *, only_late: bool = True
) -> None:
    """Wait until a claim holds for each group, one after another; what is raised names the group."""
    for group in cluster.groups:
        where = f" in worker group {group.group}" if group.group else ""
        of_the_whole(group, claim, f"{subject}{where}", only_late=only_late)


def of_the_whole(cluster: Cluster, claim: Callable[[Cluster], object], subject: str, *, only_late: bool = True) -> None:
    """Wait until a claim holds, for as long as the cluster may need to notice that something failed, or recovered.

    A healthy cluster can be met in a transient: a replica that connects again to the leader waits up to 5 s before it
    tries again (wal_retrieve_retry_interval), and a proxy needs several checks to take a member for healthy.

    A claim that does not hold in all that time raises NotInTime; or a plain AssertionError, which no rerun clears, if
    it is not `only_late`. Even then it raises NotInTime where the claim says itself that it is late, by a
    LimitExceeded, and where nobody answered at last (NO_ANSWER): silence is no wrong result. Raises Inconclusive if the
    facts still do not tell.
    """
    within = cluster.topology.timing.notice
    try:
        eventually(partial(claim, cluster), within=within, subject=subject, retry_on=(*NO_ANSWER, Inconclusive))
    except NotInTime as error:
        if isinstance(error.__cause__, Inconclusive):
            raise error.__cause__ from None
        if only_late or isinstance(error.__cause__, (LimitExceeded, *NO_ANSWER)):
            raise
        raise AssertionError(str(error)) from error
