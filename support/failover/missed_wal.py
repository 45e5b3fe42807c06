"""A replica that was away for longer than WAL is kept: it cannot catch up, and must be built anew.

Sources: https://github.com/zalando/postgres-operator/issues/1409, https://github.com/patroni/patroni/issues/2174
("requested WAL segment has already been removed", until somebody re-creates the replica)
"""

import time
from contextlib import suppress
from functools import partial

from support import sql
from support.engine.recovery import require_within
from support.engine.world import World
from support.errors import Inconclusive, NotAvailable, NotInTime
from support.failover.joint_loss import spare_replicas
from support.failover.retention_checks import MissedWal, back_or_known_to_be_out
from support.faults.naming import Names
from support.faults.nemesis import Fault
from support.faults.process import HostCrash
from support.target.cluster import Cluster
from support.target.copying import MOST_WAL
from support.target.failover_readiness import obstacles
from support.target.leadership import READ_ROUTE, routes
from support.target.members import NO_ANSWER, status_of
from support.target.patroni_commands import reinitialize
from support.target.purposes import direct_ends, purposes
from support.target.slots import at_risk
from support.target.temporary_configuration import TemporaryConfiguration
from support.timeouts import RECOVERY
from support.waiting import NotYet, eventually, precondition

_MEGABYTE = 2**20
_SEGMENT = "SELECT pg_size_bytes(current_setting('wal_segment_size'))"
_IN_FORCE = "SELECT pg_size_bytes(current_setting(%s))"
_WRITE = "SELECT pg_logical_emit_message(false, 'accept', repeat('x', %s))"
_BEHIND = "SELECT application_name FROM pg_stat_replication WHERE flush_lsn < %s::pg_lsn ORDER BY 1"
_REMOVED = r"""
    SELECT min(name) FILTER (WHERE name ~ '^[0-9A-F]{24}$') > pg_walfile_name(%s::pg_lsn) FROM pg_ls_waldir()
"""


def least_wal(segment: int) -> dict[str, int]:
    """Parameter -> bytes: with these a leader keeps as little WAL as Patroni and PostgreSQL allow.

    `segment`: the size of a WAL segment, in bytes.
    """
    return {
        "wal_keep_size": max(16 * _MEGABYTE, segment),
        "max_slot_wal_keep_size": 2 * segment,
        "min_wal_size": 2 * segment,
        "max_wal_size": 4 * segment,
    }


class LittleWalKept(Fault):
    """A fault: members keep no more WAL than a checkpoint needs, and a replication slot keeps little more."""

    def __init__(self, cluster: Cluster) -> None:
        """Raises Inconclusive if a consumer of a slot could lose WAL by now, and did not when the run began."""
        self._cluster = cluster
        leader = cluster.administration_of(cluster.leader())
        _require_nobody_at_risk(cluster, leader)
        self._values = least_wal(int(sql.value(leader, _SEGMENT)))
        parameters = {name: f"{value // _MEGABYTE}MB" for name, value in self._values.items()}
        self._configuration = TemporaryConfiguration(cluster, str(self), {"postgresql": {"parameters": parameters}})

    def told(self, names: Names) -> str:
        return "members keep little WAL"

    def inject(self) -> None:
        self._configuration.begin()

    def require_in_effect(self) -> None:
        """On the leader: a member that leads later is configured alike."""
        leader = self._cluster.of_member(self._cluster.leader())
        found = {name: int(sql.value(leader, _IN_FORCE, [name])) for name in self._values}
        if different := [f"{name} is {value}" for name, value in found.items() if value != self._values[name]]:
            raise NotYet(", ".join(different))

    def heal(self) -> None:
        self._configuration.end()


def _require_nobody_at_risk(cluster: Cluster, leader: sql.Endpoint | sql.Session) -> None:
    """Raises Inconclusive if a consumer of a slot could lose WAL while the leader keeps little."""
    if at_risk_now := at_risk(leader, (*cluster.as_declared.members, *(one.name for one in cluster.view().members))):
        raise Inconclusive(at_risk_now)


def replica_to_rebuild(cluster: Cluster) -> str:
    """A replica that nobody needs (see `spare_replicas`), and that streams from the leader.

    One that streams from another replica may find there what the leader has removed. Another one that streamed from it
    could miss WAL as well. Raises Inconclusive if there is none.
    """
    ends = direct_ends(purposes(cluster))
    found = [name for name in spare_replicas(cluster) if name in ends]
    if not found:
        raise Inconclusive("each replica that streams from the leader is needed by commits, or by another member")
    return found[0]


class AwayTooLong(HostCrash):
    """The host of a replica crashes. If WAL that the replica needs is gone when it is back, the replica is rebuilt."""

    def __init__(self, cluster: Cluster, member: str) -> None:
        super().__init__(cluster.site.hosts[member])
        self._cluster, self._member = cluster, member

    def heal(self) -> None:
        """Without a rebuild the member would stay out for good; it is not waited for."""
        super().heal()
        try:
            _await_caught_up(self._cluster, self._member, self._cluster.topology.timing.notice)
        except NotInTime:
            eventually(
                lambda: reinitialize(self._cluster, self._member),
                within=RECOVERY,
                subject=f"{self._member} is asked to reinitialize",
                retry_on=(NotAvailable, *NO_ANSWER),
            )


def remove_what_it_needs(world: World, away: str, had: int) -> None:
    """Write until the leader has removed the WAL that follows `had` (in bytes), which the member had when it left.

    The other standbys are waited for, so that they miss nothing. Raises Inconclusive if the leader keeps it all the
    same, or if the consumer of a slot has gone away, who would miss it, too.
    """
    leader, written = world.cluster.administration_of(world.cluster.leader()), 0

    def caught_up(session: sql.Session, end: str) -> None:
        if behind := [name for (name,) in sql.rows(session, _BEHIND, [end])]:
            raise NotYet(f"{', '.join(behind)} lacks WAL up to {end}")

    def removed() -> None:
        nonlocal written
        with sql.session(leader) as session:
            _require_nobody_at_risk(world.cluster, session)
            segment = int(sql.value(session, _SEGMENT))
            if written + segment > MOST_WAL:  # whatever keeps it, such as an archive that takes nothing, keeps it all
                raise Inconclusive(f"the leader keeps what {away} needs, {written // _MEGABYTE} MB of WAL later")
            for _ in range(segment // _MEGABYTE):
                sql.rows(session, _WRITE, [_MEGABYTE])
            written += segment
            end = str(sql.value(session, "SELECT pg_switch_wal()"))
            eventually(
                partial(caught_up, session, end), within=world.timing.notice, subject="the other standbys have the WAL"
            )
            sql.execute(session, "CHECKPOINT")
            if sql.value(session, _REMOVED, [_lsn(had)]) is not True:
                raise NotYet(f"the leader keeps what {away} needs")

    with precondition():
        subject = f"the WAL that {away} needs is removed"
        eventually(removed, within=world.timing.recovery, subject=subject, retry_on=NO_ANSWER)


def _lsn(position: int) -> str:
    """A WAL position in bytes, as PostgreSQL writes it. (Adding a number to a pg_lsn needs PostgreSQL 14.)"""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def require_back_or_known_to_be_out(world: World, member: str, limit: float) -> None:
    """Within `limit` seconds the member streams, or the cluster reports that it does not and routes no reads to it.

    If it does not come back by itself, that is a known limit of the cluster.
    """
    with suppress(NotInTime):
        world.measure("it streamed again by itself after", _await_caught_up(world.cluster, member, limit), "s", limit)
    looks: list[MissedWal] = []

    def known() -> None:
        looks.append(_standing(world.cluster, member))
        if not (finding := back_or_known_to_be_out(looks[-1])).holds:
            raise NotYet(finding.words)

    subject = f"the state of {member} is known"
    try:  # several looks: it says that it streams for a moment each time it asks for WAL that is gone
        eventually(known, within=world.timing.notice, subject=subject, retry_on=NO_ANSWER)
    except NotInTime as error:
        if not looks:
            raise Inconclusive(str(error)) from error
    finding = back_or_known_to_be_out(looks[-1])
    world.evidence.attach("the member that missed WAL", finding.words)
    finding.require()
    if not looks[-1].streams:
        world.known_limit(
            f"a replica that was away for longer than WAL is kept did not come back by itself within {limit:g} s: it "
            "has to be rebuilt (patronictl reinit; a restore_command that reads a WAL archive would let it catch up)"
        )


def _standing(cluster: Cluster, member: str) -> MissedWal:
    known = {one.name: one.state for one in cluster.view().members}
    serves, keeps = member in routes(cluster)[READ_ROUTE], obstacles(cluster)[member]
    lacks = _lacks(cluster, member)  # last: it may catch up while the others are asked
    return MissedWal(member, not lacks, known.get(member) == "streaming", serves, not keeps)


def _lacks(cluster: Cluster, member: str) -> str:
    """What keeps the member from streaming with all of the WAL that the leader had a moment before; empty if nothing.

    That it says that it streams is not enough: see `require_back_or_known_to_be_out`.
    """
    written, mine = status_of(cluster, cluster.leader()).wal, status_of(cluster, member)
    missing = max(0, written - mine.wal)
    return "" if mine.replication == "streaming" and not missing else f"{mine.state}, and lacks {missing:,} bytes"


def _await_caught_up(cluster: Cluster, member: str, limit: float) -> float:
    """Wait until the member streams, with all of the leader's WAL; returns the seconds that it took."""
    begun = time.monotonic()

    def caught_up() -> None:
        if lacks := _lacks(cluster, member):
            raise NotYet(f"{member} is {lacks}")

    eventually(caught_up, within=limit, subject=f"{member} streams, with all of the leader's WAL", retry_on=NO_ANSWER)
    return time.monotonic() - begun


def require_rebuilt(world: World, member: str, limit: float) -> None:
    """Told to rebuild itself, unless it has caught up already, the member streams within `limit` seconds."""
    if _lacks(world.cluster, member):
        reinitialize(world.cluster, member)
    require_within(world, "the member was rebuilt after", _await_caught_up(world.cluster, member, limit), limit)
