"""A transaction over two workers, one of which dies at a chosen moment of its commit."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from support import sql
from support.application.entries import Entry, EntryStore
from support.application.sessions import backend
from support.checkers.two_phase import all_or_nothing
from support.cluster import nodes
from support.cluster.in_doubt import await_prepared, await_resolved
from support.cluster.rollcall import SILENCE
from support.cluster.shard_contents import held, name
from support.errors import Inconclusive
from support.faults.nemesis import Fault, Nemesis
from support.faults.process import HostCrash, PostgresKilled
from support.faults.two_phase import CommitHeld
from support.history import Outcome
from support.hosts import Host
from support.timeouts import RECOVERY, VISIBLE
from support.trials.aftermath import ordeal_of, require_within
from support.trials.cross_worker import require_at_work
from support.trials.spreading import namespaces_over_workers
from support.waiting import NotYet, eventually
from support.world import World

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
    groups = {one: nodes.home(world.cluster.write, world.profile.entries.table, one) for one in names}
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


def _before(world: World, session: sql.Session, death: Fault, struck: str) -> Outcome:
    ordeal_of(world).strike(death, struck)
    return _commit(session)


def _between(world: World, session: sql.Session, death: Fault, struck: str) -> Outcome:
    pid, client = backend(session), ThreadPoolExecutor(1)
    with Nemesis() as holding:
        holding.inject(CommitHeld(world.cluster))
        told = client.submit(_commit, session)
        client.shutdown(wait=False)
        await_prepared(world.cluster, pid, nodes=2, within=VISIBLE)
        ordeal_of(world).strike(death, struck)
        if told.done():
            raise Inconclusive("the commit was over before the worker died")
    return eventually(partial(_answer, told), within=_TOLD, subject="the client is told what became of its commit")


def _answer(told: Future[Outcome]) -> Outcome:
    if not told.done():
        raise NotYet("it still waits")
    return told.result()


def _after(world: World, session: sql.Session, death: Fault, struck: str) -> Outcome:
    told = _commit(session)
    ordeal_of(world).strike(death, struck)
    return told


_MOMENTS: Mapping[str, Callable[[World, sql.Session, Fault, str], Outcome]] = {
    "before its commit": _before,
    "between prepare and commit": _between,
    "after its commit": _after,
}


def _commit(session: sql.Session) -> Outcome:
    """What the client is told of its commit."""
    error = sql.error_of(session.commit)
    return Outcome.OK if error is None else sql.outcome_of(error, committing=True)


def require_resolved(world: World, limit: float) -> None:
    """Within `limit` seconds of the death no node holds a transaction in doubt."""
    begun = ordeal_of(world).injury.begun
    await_resolved(world.cluster, round(begun + limit - time.monotonic(), 1))
    require_within(world, "no transaction was in doubt after", time.monotonic() - begun, limit)


def require_whole_or_nowhere(world: World) -> None:
    """What the transaction wrote is on both workers or on none, as its client was told; read on the leader of each."""
    groups: Mapping[str, int] = world.scene["transaction"].groups
    rows = eventually(
        lambda: held(world.cluster, world.profile.entries, ("namespace", "key"), list(groups)),
        within=RECOVERY,
        subject="every node tells what it holds",
        retry_on=SILENCE,
    )
    found = {name(group): sum(row[0] == one for row in rows[name(group)]) for one, group in groups.items()}
    finding = all_or_nothing(world.scene["told"], found, _EACH)
    world.evidence.attach("the transaction", finding.words)
    finding.require()
