"""Reads: to which members the read endpoint leads now."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from support import sql
from support.errors import AcceptError
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, NoAnswer, member_statuses, server
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
    topology, known, leading = cluster.topology, NOWHERE, set[bool]()
    if topology.read is None or not cluster.has_patroni:
        return known, False
    with suppress(AcceptError, *NO_ANSWER), ExitStack() as opened:
        if topology.statistics is not None and "pools" not in topology.lacks:
            leader, shown = cluster.leader(), haproxy.positions(topology.statistics, cluster.members)
            known = Reads({name: ends["read"] for name, ends in shown.items() if "read" in ends}, listed=True)
            leading = {name == leader for name, position in known.positions.items() if position == "up"}
        else:
            sessions = [sql.session(cluster.read, connect_timeout=REST) for _ in range(2 * len(cluster.members))]
            reached = [server(opened.enter_context(one)) for one in sessions]
            leading = {not one.in_recovery for one in reached}
            answers = member_statuses(cluster)
            started = {one.started: name for name, one in answers.items() if not isinstance(one, NoAnswer)}
            known = Reads({started[one.started]: "up" for one in reached if one.started in started})
    return known, leading == {True, False}
