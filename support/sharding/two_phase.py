"""Transactions that workers have prepared, and of which they have not been told the end.

Source: https://docs.citusdata.com/en/v13.0/develop/api_guc.html (two-phase commit)

A coordinator that stays in the middle of a two-phase commit.

With synchronous replication, a commit on the coordinator waits for a standby after every worker has prepared, and
before any of them is told to commit.

A transaction over two workers, one of which dies at a chosen moment of its commit.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import psutil

from support import sql
from support.engine.history import Outcome
from support.engine.recovery import require_within
from support.engine.workload import outcome_of
from support.engine.world import World
from support.errors import Inconclusive
from support.example_app.entries import Entry, EntryStore
from support.example_app.sessions import backend
from support.faults.nemesis import Fault, Nemesis
from support.faults.process import HostCrash, PostgresKilled, resume, server_processes
from support.hosts import Host
from support.sharding.checks import both_or_neither
from support.sharding.cross_worker import require_at_work
from support.sharding.shards import held, leaders_of_nodes, name
from support.sharding.spreading import namespaces_over_workers
from support.target import citus
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER
from support.target.synchronous import standbys_waited_for
from support.timeouts import RECOVERY, VISIBLE
from support.waiting import NotYet, eventually

# Citus names a part of a transaction by the group and the process that coordinate it.
_IN_RECOVERY = "SELECT pg_is_in_recovery()"
_IN_DOUBT = "SELECT gid FROM pg_prepared_xacts WHERE starts_with(gid, %s) ORDER BY gid"
_ANY, _COORDINATED_BY = "citus_", "citus_0_{pid}_"


def in_doubt(cluster: Cluster, pid: int | None = None) -> dict[str, list[str]]:
    """Node -> what is prepared there; of the coordinator's backend `pid` alone, where given. Nodes without are absent.

    Raises one of NO_ANSWER while a node has no leader that answers.
    """
    beginning = _ANY if pid is None else _COORDINATED_BY.format(pid=pid)
    found = {node: _prepared(where, beginning) for node, where in leaders_of_nodes(cluster).items()}
    return {node: gids for node, gids in found.items() if gids}


def _prepared(where: sql.Endpoint, beginning: str) -> list[str]:
    with sql.session(where) as session:
        if sql.value(session, _IN_RECOVERY):  # it holds what was prepared, and does not show it before it is promoted
            raise NotYet(f"the leader of {where.name} is in recovery")
        return [gid for (gid,) in sql.rows(session, _IN_DOUBT, [beginning])]


def await_prepared(cluster: Cluster, pid: int, nodes: int, within: float) -> list[str]:
    """Wait until so many nodes have prepared the transaction that this backend coordinates; returns which."""

    def prepared() -> list[str]:
        found = in_doubt(cluster, pid)
        if len(found) < nodes:
            raise NotYet(f"it is prepared on {' and '.join(found) or 'none'}")
        return list(found)

    return eventually(prepared, within=within, subject=f"{nodes} nodes have prepared the transaction", pause=0.02)


def await_resolved(cluster: Cluster, within: float) -> None:
    """Wait until every node answers, and none holds a prepared transaction of Citus."""

    def resolved() -> None:
        if found := in_doubt(cluster):
            raise NotYet("; ".join(f"{node} holds {', '.join(gids)}" for node, gids in found.items()))

    eventually(resolved, within=within, subject="no transaction is in doubt on any node", retry_on=NO_ANSWER)


class CommitHeld:
    """The processes that receive WAL stand still on every standby for which the coordinator's commits wait.

    After wal_sender_timeout the coordinator would take another standby instead: be quick.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._held: list[psutil.Process] = []

    def __str__(self) -> str:
        return "commits on the coordinator wait"

    def inject(self) -> None:
        hosts = [self._cluster.sandbox.hosts[name] for name in standbys_waited_for(self._cluster)]
        self._held = [process for host in hosts for process in server_processes(host, "walreceiver")]
        for process in self._held:
            process.suspend()

    def require_in_effect(self) -> None:
        if not self._held:
            raise Inconclusive("commits on the coordinator wait for no standby")
        if awake := [one.pid for one in self._held if one.status() != psutil.STATUS_STOPPED]:
            raise NotYet(f"they still receive: {awake}")

    def heal(self) -> None:
        resume(self._held)


DEATHS: Mapping[str, Callable[[Host], Fault]] = {"PostgreSQL": PostgresKilled, "the host": HostCrash}
_EACH = 5
"""Entries that the transaction stores on each of the two workers."""
_TOLD = 60.0
"""Seconds for the client to be told: the coordinator first has to notice that a host is gone."""


@dataclass(frozen=True)
class Transaction:
    """A transaction that is open, in two namespaces of different workers."""

    session: sql.Session
    groups: Mapping[str, int]
    """Namespace -> the group of workers on which it lies."""


def begin(world: World) -> None:
    """Store entries on two workers in one transaction, and leave it open."""
    names = namespaces_over_workers(world, 2)
    groups = {one: citus.home(world.cluster.write, world.profile.entries.table, one) for one in names}
    session = sql.connect(world.cluster.write)
    world.sessions.append(session)
    EntryStore(session, world.profile).add_many(
        [Entry(one, f"entry {number}", "new") for one in names for number in range(_EACH)]
    )
    require_at_work(world, session)
    world.scene["transaction"] = Transaction(session, groups)


def die(world: World, what: str, moment: str) -> None:
    """Let PostgreSQL or the host of one of the two workers die at that moment, and see what the client is told."""
    transaction: Transaction = world.scene["transaction"]
    group = world.cluster.of_group(next(iter(transaction.groups.values())))
    host = world.cluster.sandbox.hosts[group.leader()]
    world.evidence.attach("what dies", f"{what} of {host.name}, which leads {name(group.group)}, {moment}")
    begun = time.monotonic()
    world.scene["told"] = _MOMENTS[moment](world, transaction.session, DEATHS[what](host), host.name)
    world.measure("the client was told after", time.monotonic() - begun, "s")
    world.evidence.attach("what the client was told of its commit", world.scene["told"])


def _before(world: World, session: sql.Session, death: Fault, target_member: str) -> Outcome:
    world.experiment.inject(death, target_member)
    return _commit(session)


def _between(world: World, session: sql.Session, death: Fault, target_member: str) -> Outcome:
    pid, client = backend(session), ThreadPoolExecutor(1)
    with Nemesis() as holding:
        holding.inject(CommitHeld(world.cluster))
        told = client.submit(_commit, session)
        client.shutdown(wait=False)
        await_prepared(world.cluster, pid, nodes=2, within=VISIBLE)
        world.experiment.inject(death, target_member)
        if told.done():
            raise Inconclusive("the commit was over before the worker died")
    return eventually(partial(_answer, told), within=_TOLD, subject="the client is told what became of its commit")


def _answer(told: Future[Outcome]) -> Outcome:
    if not told.done():
        raise NotYet("it still waits")
    return told.result()


def _after(world: World, session: sql.Session, death: Fault, target_member: str) -> Outcome:
    told = _commit(session)
    world.experiment.inject(death, target_member)
    return told


_MOMENTS: Mapping[str, Callable[[World, sql.Session, Fault, str], Outcome]] = {
    "before its commit": _before,
    "between prepare and commit": _between,
    "after its commit": _after,
}


def _commit(session: sql.Session) -> Outcome:
    """What the client is told of its commit."""
    error = sql.error_of(session.commit)
    return Outcome.OK if error is None else outcome_of(error, committing=True)


def require_resolved(world: World, limit: float) -> None:
    """Within `limit` seconds of the death no node holds a transaction in doubt."""
    begun = world.experiment.injected_fault.begun
    await_resolved(world.cluster, round(begun + limit - time.monotonic(), 1))
    require_within(world, "no transaction was in doubt after", time.monotonic() - begun, limit)


def require_whole_or_nowhere(world: World) -> None:
    """What the transaction wrote is on both workers or on none, as its client was told; read on the leader of each."""
    groups: Mapping[str, int] = world.scene["transaction"].groups
    rows = eventually(
        lambda: held(world.cluster, world.profile.entries, ("namespace", "key"), list(groups)),
        within=RECOVERY,
        subject="every node tells what it holds",
        retry_on=NO_ANSWER,
    )
    found = {name(group): sum(row[0] == one for row in rows[name(group)]) for one, group in groups.items()}
    finding = both_or_neither(world.scene["told"], found, _EACH)
    world.evidence.attach("the transaction", finding.words)
    finding.require()
