"""Where sessions through the endpoints land, and what becomes of them when a member fails."""

import select
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from support import sql
from support.engine import markers
from support.engine.background import Background
from support.engine.checks.writers import last_accepted
from support.engine.finding import Finding
from support.engine.recovery import require_within
from support.engine.world import World
from support.errors import ConnectFailed, Inconclusive, NotInTime
from support.example_app.profile import Profile
from support.failover import member_health
from support.failover.checks import ROUNDS, caught_up, out_of_reads, sessions_closed_in_time
from support.failover.leader_views import NO_MEMBER
from support.faults.replay import ReplayStuck
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.copying import wal_beyond
from support.target.failover_readiness import terms
from support.target.members import NO_ANSWER, REPLICA, NoAnswer, Server, member_statuses, server, status_of
from support.target.purposes import prompt_replicas
from support.waiting import NotYet, describe, eventually, precondition, throughout

_LOOK = 0.1  # seconds within which a watch of sessions notices that it should stop
_RECEIVED = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')"
_REPLAYED = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')"
_MOST = 4
"""Sessions for each member that are opened at most to meet a certain one of them."""


def place(member: str, in_recovery: bool) -> str:
    """How the target of a session is written: the member, and whether it is a primary."""
    return f"{member}, {'in recovery' if in_recovery else 'primary'}"


def places(cluster: Cluster, sessions: Iterable[sql.Session]) -> list[str]:
    """The target of each session, as `place` writes it."""
    return [place(member, reached.in_recovery) for member, reached in _targets(cluster, sessions)]


def members(cluster: Cluster, sessions: Iterable[sql.Session]) -> list[str]:
    """The member that each session is on."""
    return [member for member, _ in _targets(cluster, sessions)]


@dataclass(frozen=True)
class _KnownServers:
    """The members that have said when their servers started, and those that have said nothing."""

    started: Mapping[datetime, str]
    silent: tuple[str, ...]

    def member_of(self, reached: Server) -> str:
        """The member whose server this is, or NO_MEMBER. Raises NotYet if it may be one that said nothing."""
        if reached.started not in self.started and self.silent:
            raise NotYet(f"a session is on an unknown server, which may be that of {' or '.join(self.silent)}")
        return self.started.get(reached.started, NO_MEMBER)


def _known_servers(cluster: Cluster) -> _KnownServers:
    answers = member_statuses(cluster)
    return _KnownServers(
        {answer.started: name for name, answer in answers.items() if not isinstance(answer, NoAnswer)},
        tuple(name for name, answer in answers.items() if isinstance(answer, NoAnswer)),
    )


def _targets(cluster: Cluster, sessions: Iterable[sql.Session]) -> list[tuple[str, Server]]:
    """A member is recognised by the time at which its server started.

    Raises Inconclusive if a session may be on a member that gives no answer.
    """
    reached = [server(session) for session in sessions]

    def recognised() -> list[tuple[str, Server]]:
        known = _known_servers(cluster)
        return [(known.member_of(one), one) for one in reached]

    with precondition():
        within = cluster.topology.timing.notice
        return eventually(recognised, within=within, subject="the member of each session is recognised")


def writes(sessions: Iterable[sql.Session], profile: Profile, namespace: str) -> list[str]:
    """What came of a write on each session: "accepted", the condition that refused it, or how it was lost."""

    def write(session: sql.Session, key: str) -> None:
        session.rollback()
        markers.write(session, profile, namespace, key)
        session.commit()

    def outcome(session: sql.Session, key: str) -> str:
        error = sql.error_of(lambda: write(session, key))
        return "accepted" if error is None else sql.condition_of(error) or describe(error)

    return [outcome(session, f"write-{number}") for number, session in enumerate(sessions)]


def replica_in_reads(cluster: Cluster) -> str:
    """A replica on which sessions through the read endpoint land now, and which shows at once what is committed.

    Raises Inconclusive if there is none: then nobody could see it leave the read endpoint.
    """

    def met() -> str:
        replicas = sorted(prompt_replicas(cluster))
        found = _look(cluster, replicas)
        if not (there := [name for name in replicas if found[name]]):
            raise NotYet(_landed(found))
        return there[0]

    with precondition():
        subject = "sessions through the read endpoint land on a replica"
        return eventually(met, within=cluster.topology.timing.notice, subject=subject, retry_on=NO_ANSWER)


@dataclass(frozen=True)
class ReadLag:
    """By how many bytes of WAL a replica may lag and still serve reads."""

    allowed: int
    assumed: bool = False
    """Not declared: the lag allowed for a replica that takes over is used, which may be smaller."""


def allowed_read_lag(cluster: Cluster) -> ReadLag:
    """The lag in the proxy's health check, as declared; in the embedded cluster, the lag allowed for a failover.

    Raises NotYet without a leader.
    """
    if (declared := cluster.topology.expectations.read_lag) is not None:
        return ReadLag(declared)
    return ReadLag(terms(cluster).allowed_lag, assumed=not cluster.topology.embedded)


def stuck_replay(cluster: Cluster, replica: str) -> ReplayStuck:
    """The replica replays nothing while the leader writes twice as much WAL as it may lag and still serve reads.

    Raises Inconclusive if that is more than a test writes.
    """
    return ReplayStuck(cluster, replica, wal_beyond(allowed_read_lag(cluster).allowed))


def least_replayed(cluster: Cluster, replica: str, lag: ReadLag) -> int | None:
    """The position in the WAL that this replica must replay before it may serve reads again; None if it is not known.

    What it has received by now counts: the proxy's health check may learn of later WAL only a loop of Patroni later.
    """
    received = _position(cluster, replica, _RECEIVED)
    return None if lag.assumed or received is None else received - lag.allowed


def _position(cluster: Cluster, member: str, query: str) -> int | None:
    """A position in the member's WAL; None on a server that has received, or replayed, nothing since it started."""
    found = sql.value(cluster.of_member(member), query)
    return None if found is None else int(found)


def require_out_of_reads(world: World, limit: float, lag: ReadLag | None = None) -> None:
    """New sessions on the read endpoint stop landing on the affected member within `limit` seconds of the fault.

    It stays out for as long as Patroni and the proxy take to come to another conclusion. If it does not, only the last
    time that it left counts.

    Inconclusive if none landed there but nothing proves that any would have. Also inconclusive if the fault makes the
    replica lag and the allowed `lag` is only assumed: the real limit may be higher.
    """
    experiment, last = world.experiment, list[Finding]()
    since, subject = experiment.injected_fault.counts_from, "the affected member left the read endpoint"

    def left() -> None:
        last.append(_look_without_target(world))
        if last[-1].holds is not True:
            raise NotYet(last[-1].words)

    stays = False
    while not stays:
        try:
            eventually(left, within=limit, subject=subject, retry_on=NO_ANSWER, since=since)
        except NotInTime:
            if last and last[-1].holds is None:
                last[-1].require()
            if lag and lag.assumed:
                raise Inconclusive(
                    f"{experiment.target_member}, more than {lag.allowed:,} bytes behind, still serves reads, but how "
                    "far it may lag is not known: declare it ([expect] read_lag, as in HAProxy's check "
                    "/replica?lag=...)"
                ) from None
            raise
        took = time.monotonic() - since
        stays = took > limit or _stays_out(world)
    require_within(world, f"{subject} after", took, limit)


def _stays_out(world: World) -> bool:
    """Whether no session lands on the affected member while Patroni checks it twice, and the proxy once more."""

    def look() -> None:
        with suppress(*NO_ANSWER):
            if (found := _look_without_target(world)).holds is False:
                raise _Returned(found.words)

    try:
        throughout(look, seconds=world.timing.proxy + 2 * world.timing.loop_wait)
    except _Returned as returned:
        world.evidence.attach("the affected member served reads again", str(returned))
        return False
    return True


class _Returned(Exception):
    """The affected member serves reads again while its fault lasts; the message says where sessions landed."""


def require_back_in_reads(world: World, limit: float, replayed: int | None = None, *, streams: bool = False) -> None:
    """New sessions on the read endpoint land on the affected member within `limit` seconds of the healing, not before
    it has caught up.

    That means: it has replayed the WAL up to the position `replayed` (None: whatever it has), and it streams, if that
    is asked for.
    """
    experiment, cluster = world.experiment, world.cluster
    target = experiment.target_member

    def back() -> Finding:
        found = _look(cluster, [], unwanted=target)
        if not found[target]:
            raise NotYet(_landed(found))
        # Asked only now: what it lacks now, it lacked when the session landed there, too.
        position = None if replayed is None else _position(cluster, target, _REPLAYED)
        status = status_of(cluster.group_with(target), target) if streams else None
        no_stream = status is not None and status.role == REPLICA and status.replication == "none"
        return caught_up(target, position, replayed, streams=not no_stream)

    subject = "the affected member was back in the read endpoint"
    finding = eventually(back, within=limit, subject=subject, retry_on=NO_ANSWER, since=experiment.over_since)
    took = time.monotonic() - experiment.over_since
    finding.require()
    require_within(world, f"{subject} after", took, limit)


def _look_without_target(world: World) -> Finding:
    target = world.experiment.target_member
    others = [name for name in member_health.serving_replicas(world.cluster) if name != target]
    try:
        sessions: Mapping[str, int] | None = _look(world.cluster, others, unwanted=target)
    except ConnectFailed:
        if others:
            raise
        sessions = None
    server = haproxy.read_servers(world.cluster.topology).get(target)
    return out_of_reads(target, others, sessions, server.position if server else "")


def _look(cluster: Cluster, expected: Collection[str], unwanted: str = "") -> Counter[str]:
    """Member -> the sessions through the read endpoint that landed on it; all are open at once.

    Opens them until every expected member was met in ROUNDS, or the unwanted one was met; at most _MOST per member.
    """
    opened: list[sql.Session] = []
    found, known = Counter[str](), _known_servers(cluster)
    try:
        for _ in range(_MOST * len(cluster.members)):
            opened.append(sql.connect(cluster.read, autocommit=True))
            found[known.member_of(server(opened[-1]))] += 1
            if found[unwanted] or (expected and all(found[one] >= ROUNDS for one in expected)):
                break
        return found
    finally:
        for session in opened:
            session.close()


def _landed(found: Mapping[str, int]) -> str:
    return f"sessions landed on {' and '.join(sorted(found)) or 'no member'}"


class ClosingWatch(Background):
    """A context manager that notes when the other side closes idle sessions.

    Enter it before the fault: some faults, such as a switchover, end only after the sessions have.
    """

    def __init__(self, sessions: Iterable[sql.Session]) -> None:
        self._lines = {session.fileno() for session in sessions}
        self.count = len(self._lines)
        """How many sessions there are."""
        self._ended = list[float]()
        self._over = threading.Event()
        super().__init__(self._look)

    def closings(self, until: float) -> list[float]:
        """When each session was closed, on the monotonic clock. Waits for all of them, but no longer than `until`."""
        self._over.wait(max(0.0, until - time.monotonic()))
        return list(self._ended)

    def _look(self) -> None:
        """A server sends something on an idle session only to end it: an error message, or just end-of-file."""
        lines = set(self._lines)
        try:
            while lines and not self._stopping.is_set():
                said, _, _ = select.select(lines, [], [], _LOOK)
                lines -= set(said)
                self._ended += [time.monotonic()] * len(said)
        finally:
            self._over.set()


def watch_by_member(world: World) -> dict[str, ClosingWatch]:
    """Member -> a watch of those of the scenario's sessions that are on it, until the scenario ends."""
    held: dict[str, list[sql.Session]] = {}
    for member, session in zip(members(world.cluster, world.sessions), world.sessions, strict=True):
        held.setdefault(member, []).append(session)
    return {name: world.cleanup.enter_context(ClosingWatch(there)) for name, there in held.items()}


def require_some_on(member: str, watches: Mapping[str, ClosingWatch]) -> None:
    """Raises Inconclusive if the member has none of the sessions: then none could hang."""
    if member not in watches:
        there = " and ".join(sorted(watches)) or "no member"
        raise Inconclusive(f"{member} has none of the sessions through the read endpoint, which are on {there}")


def require_sessions_cut(world: World, watch: ClosingWatch, limit: float) -> None:
    """Each of the watched idle sessions was cut within `limit` seconds of the fault.

    In a switchover, the time counts from the last write that the former leader accepted: until then nothing was lost.
    """
    experiment = world.experiment
    since = begun = experiment.injected_fault.begun
    if experiment.planned:
        since += last_accepted(experiment.watch.samples, experiment.target_member, begun)
    closed = watch.closings(until=since + limit + world.timing.notice)
    ended = [when - since if when < begun else max(0.0, when - since) for when in closed]
    if ended:
        world.measure("the last session was cut after", max(ended), "s", limit)
    until = time.monotonic() if len(closed) < watch.count else max(closed, default=since)
    replace(sessions_closed_in_time(watch.count, ended, limit), during=((since, until),)).require()
