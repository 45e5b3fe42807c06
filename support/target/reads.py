"""Reads: to which members the read endpoint leads now."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from support import sql
from support.errors import AcceptError
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, NoAnswer, member_statuses, server
from support.target.purposes import purposes
from support.target.topology import StatisticsPage
from support.timeouts import REST


@dataclass(frozen=True)
class Reads:
    """Where the read endpoint leads, as far as that is known."""

    positions: Mapping[str, str]
    """Member -> its position in the backends behind the endpoint; "up" where sessions landed, if no page tells more."""
    listed: bool = False
    """The positions are those of every member that the backends have."""

    @property
    def up(self) -> tuple[str, ...]:
        return tuple(name for name, position in self.positions.items() if "up" in position.split())


NOWHERE = Reads({})


def reads_of(cluster: Cluster) -> tuple[Reads, bool]:
    """Where the read endpoint leads, and whether that is to the leader as well as to replicas.

    Reads on the leader alone are a fault.
    """
    topology, known, leads = cluster.topology, NOWHERE, False
    if topology.read is None or not cluster.has_patroni:
        return known, False
    with suppress(AcceptError, *NO_ANSWER), ExitStack() as opened:
        if topology.statistics is not None and "pools" not in topology.lacks:
            leader, shown = cluster.leader(), haproxy.positions(topology.statistics, cluster.members)
            known = Reads({name: ends["read"] for name, ends in shown.items() if "read" in ends}, listed=True)
            leads = {name == leader for name, position in known.positions.items() if position == "up"} == {True, False}
            leads = leads or _after_a_failover(cluster, topology.statistics, leader)
        else:
            sessions = [sql.session(cluster.read, connect_timeout=REST) for _ in range(2 * len(cluster.members))]
            reached = [server(opened.enter_context(one)) for one in sessions]
            leads = {not one.in_recovery for one in reached} == {True, False}
            answers = member_statuses(cluster)
            started = {one.started: name for name, one in answers.items() if not isinstance(one, NoAnswer)}
            known = Reads({started[one.started]: "up" for one in reached if one.started in started})
    return known, leads


def _after_a_failover(cluster: Cluster, page: StatisticsPage, leader: str) -> bool:
    """Whether the read endpoint leads to the leader as well as to replicas, either now or with another leader.

    Backup servers stay the same when another member leads. Of a member with two servers in one backend, one may be
    checked as a leader and the other as a replica, so that nothing follows from where they are now.
    """
    able = {name for name, one in purposes(cluster).items() if one.may_lead}
    rows = haproxy.servers(page)
    return any(
        leader_would_serve([row for row in rows if row.proxy == backend], page, leader, able)
        for backend in page.read_backends
    )


def leader_would_serve(
    rows: Sequence[haproxy.ServerRow], page: StatisticsPage, leader: str, able: Collection[str]
) -> bool:
    """Whether the health check of a backend that has backup servers lets the leader pass, so that one may serve there.

    `rows` are the servers of the backend, `able` the members that may lead. A leader that is up as a backup server has
    passed the check: another one that is no backup server would get sessions.
    """
    of_member = {page.member(row.proxy, row.server): row for row in rows}
    if len(of_member) < len(rows) or leader not in of_member:
        return False
    others = [row for name, row in of_member.items() if name != leader]
    own = of_member[leader]
    if own.position == haproxy.RESERVE:
        return any(not row.is_backup for name, row in of_member.items() if name != leader and name in able)
    return not own.is_backup and own.position == "up" and any(row.position == haproxy.RESERVE for row in others)
