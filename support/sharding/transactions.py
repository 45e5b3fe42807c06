"""Transactions over several workers: where they are open or prepared, and deaths during their two-phase commit.

Citus commits such a transaction in two phases: every worker prepares it, the coordinator commits, and then the workers
are told to commit. A prepared transaction whose worker has not been told the end is in doubt.

Source: https://docs.citusdata.com/en/v13.0/develop/api_guc.html (two-phase commit)
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from support import sql
from support.engine.history import Outcome
from support.engine.workload import outcome_of
from support.engine.world import World
from support.errors import Inconclusive
from support.example_app.sessions import backend
from support.faults.naming import Names
from support.faults.nemesis import Fault, FaultOnHosts
from support.faults.process import HostCrash, PostgresKilled, server_processes
from support.hosts.interface import Running, SiteHost
from support.target.citus import node_leaders
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.synchronous import standbys_waited_for
from support.timeouts import VISIBLE
from support.waiting import NotYet, eventually

# Citus' sessions on the workers carry the number of the session that they work for. A lock shows whether a transaction
# is open there, because the state of a session is not known if track_activities is off.
_NUMBER = "SELECT citus_backend_gpid()"
_WORKS_FOR = """
    SELECT count(DISTINCT pid)
      FROM pg_stat_activity JOIN pg_locks USING (pid)
     WHERE application_name LIKE 'citus_internal gpid=' || %s AND locktype = 'virtualxid' AND mode = 'ExclusiveLock'
"""


def require_at_work(world: World, session: sql.Session) -> None:
    """The session has transactions open on more than one node, seen there. Raises Inconclusive when it has not."""
    number = sql.value(session, _NUMBER)
    found = {node: sql.value(where, _WORKS_FOR, [number]) for node, where in node_leaders(world.cluster).items()}
    at_work = [node for node, transactions in found.items() if transactions]
    if len(at_work) < 2:
        raise Inconclusive(f"the transaction is open on {' and '.join(at_work) or 'no node'} only")
    world.evidence.attach("the transaction is open on", " and ".join(at_work))


_IN_RECOVERY = "SELECT pg_is_in_recovery()"
_IN_DOUBT = """
    SELECT gid FROM pg_prepared_xacts WHERE starts_with(gid, %s) AND database = current_database() ORDER BY gid
"""
# Citus names each part of a transaction by the group and the process that coordinate it.
_ANY, _COORDINATED_BY = "citus_", "citus_0_{pid}_"


def prepared_by(cluster: Cluster, pid: int) -> list[str]:
    """The nodes that have prepared a transaction of the coordinator's backend `pid`.

    Raises one of NO_ANSWER while a node has no leader that answers.
    """
    beginning = _COORDINATED_BY.format(pid=pid)
    return [node for node, where in node_leaders(cluster).items() if _prepared(where, beginning)]


class Doubts:
    """The transactions of Citus that each node held prepared when it was first asked, and has not resolved since.

    Those that are prepared later are not the run's: its clients have stopped by then. On a user's cluster, whose other
    clients go on, there may always be some. An embedded cluster has no other clients, and all count.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._first: dict[str, frozenset[str]] = {}

    def require_none(self) -> None:
        """Raises NotYet while there are any, and one of NO_ANSWER while a node has no leader that answers."""
        found = {node: self._left(node, where) for node, where in node_leaders(self._cluster).items()}
        if held := [f"{node} holds {', '.join(gids)}" for node, gids in found.items() if gids]:
            raise NotYet("; ".join(held))

    def _left(self, node: str, where: sql.Endpoint) -> list[str]:
        gids = _prepared(where, _ANY)
        if self._cluster.topology.embedded:
            return gids
        first = self._first.setdefault(node, frozenset(gids))
        return [gid for gid in gids if gid in first]


def _prepared(where: sql.Endpoint, beginning: str) -> list[str]:
    with sql.session(where) as session:
        if sql.value(session, _IN_RECOVERY):  # prepared transactions do not show before the promotion
            raise NotYet(f"the leader of {where.name} is in recovery")
        return [gid for (gid,) in sql.rows(session, _IN_DOUBT, [beginning])]


def await_prepared(cluster: Cluster, pid: int, nodes: int, within: float) -> None:
    """Wait until so many nodes have prepared the transaction that this backend of the coordinator coordinates."""

    def prepared() -> None:
        found = prepared_by(cluster, pid)
        if len(found) < nodes:
            raise NotYet(f"it is prepared on {' and '.join(found) or 'none'}")

    subject = f"{nodes} nodes have prepared the transaction"
    eventually(prepared, within=within, subject=subject, retry_on=NO_ANSWER, pause=0.02)


def await_resolved(cluster: Cluster, within: float, since: float) -> None:
    """Wait until every node answers and none holds a prepared transaction of Citus that it held at first (`Doubts`).

    `since` is the monotonic time from which `within` seconds count.
    """
    subject = "no transaction is in doubt on any node"
    resolved = Doubts(cluster).require_none
    eventually(resolved, within=within, subject=subject, retry_on=NO_ANSWER, since=since)


class CommitHeld(FaultOnHosts):
    """A fault that holds the coordinator's commits between the two phases.

    The WAL receivers of every synchronous standby of the coordinator are frozen. Its commit waits for a standby after
    every worker has prepared, and before any worker is told to commit. After wal_sender_timeout the coordinator would
    choose another standby: be quick.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._held: list[tuple[SiteHost, list[Running]]] = []

    def told(self, names: Names) -> str:
        return "commits on the coordinator wait"

    def on_hosts(self) -> None:
        for name in standbys_waited_for(self._cluster):
            host = self._cluster.site.hosts[name]
            receivers = server_processes(host, "walreceiver")
            self._held.append((host, receivers))
            host.suspend(receivers)

    def require_in_effect(self) -> None:
        if not any(receivers for _, receivers in self._held):
            raise Inconclusive("commits on the coordinator wait for no standby")
        found = [one for host, receivers in self._held for one in host.alive(receivers)]
        if awake := [one.pid for one in found if not one.stopped]:
            raise NotYet(f"they still receive: {awake}")

    def heal(self) -> None:
        with ExitStack() as every:  # each, also if one of them fails
            for host, receivers in self._held:
                every.callback(host.resume, receivers)


@dataclass(frozen=True)
class OpenTransaction:
    """A transaction that has written to two namespaces on different workers."""

    session: sql.Session
    groups: Mapping[str, int]
    """Namespace -> the worker group that holds its rows."""


THE_HOST, BETWEEN = "the host", "between prepare and commit"
_TOLD = 60.0
"""Seconds until the client must have an answer: the coordinator first has to notice that a host is gone."""


def held_commits(cluster: Cluster, moment: str) -> Sequence[CommitHeld]:
    """What holds back the transaction's commit, so that something can die at that moment."""
    return [CommitHeld(cluster)] if moment == BETWEEN else []


def death(cluster: Cluster, what: str, group: int) -> HostCrash | PostgresKilled:
    """The host of a worker group's leader crashes if `what` is THE_HOST; otherwise its PostgreSQL is killed."""
    host = cluster.site.hosts[cluster.of_group(group).leader()]
    return HostCrash(host) if what == THE_HOST else PostgresKilled(host)


def _before(world: World, session: sql.Session, death: Fault) -> Outcome:
    world.experiment.inject(death)
    return _commit(session)


def _between(world: World, session: sql.Session, death: Fault) -> Outcome:
    pid, client = backend(session), ThreadPoolExecutor(1)
    (held,) = held_commits(world.cluster, BETWEEN)
    with world.experiment.prepared(held):
        told = client.submit(_commit, session)
        client.shutdown(wait=False)
        await_prepared(world.cluster, pid, nodes=2, within=VISIBLE)
        world.experiment.inject(death)
        if told.done():
            raise Inconclusive("the commit was over before the worker died")
    return eventually(partial(_answer, told), within=_TOLD, subject="the client is told the outcome of its commit")


def _after(world: World, session: sql.Session, death: Fault) -> Outcome:
    told = _commit(session)
    world.experiment.inject(death)
    return told


COMMIT_WITH_DEATH: Mapping[str, Callable[[World, sql.Session, Fault], Outcome]] = {
    "before its commit": _before,
    BETWEEN: _between,
    "after its commit": _after,
}
"""Moment of the death -> commit the session's transaction with that fault at that moment; what the client is told."""


def _commit(session: sql.Session) -> Outcome:
    error = sql.error_of(session.commit)
    return Outcome.OK if error is None else outcome_of(error, committing=True)


def _answer(told: Future[Outcome]) -> Outcome:
    if not told.done():
        raise NotYet("it still waits")
    return told.result()
