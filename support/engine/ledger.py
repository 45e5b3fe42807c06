"""A ledger: clients only append to it, so an entry that is missing later was lost.

`as_set` writes a ledger's history in the format of elle-cli, so that an independent checker can judge it:

    gunzip -c ledger.json.gz > ledger.json && elle-cli --model set ledger.json

Source: https://github.com/ligurio/elle-cli (README, "set")
"""

import time
from collections.abc import Iterator

from support import sql
from support.engine.checks.durability import lost_reach_back, lost_writes
from support.engine.elle import Invocation, as_events
from support.engine.history import History, Operation, Outcome
from support.engine.workload import Script, Task, Turn, Workload
from support.engine.world import World
from support.errors import ConnectFailed
from support.example_app.entries import DELETE_ENTRY, INSERT_ENTRY
from support.example_app.profile import Profile
from support.run import new_id
from support.waiting import eventually

APPEND, READ = "append", "read"
LOST_REACH_BACK = "oldest lost write, acknowledged before the fault by"
"""The name of that figure."""
_CURSOR = "DECLARE ledger NO SCROLL CURSOR FOR SELECT {entries.value} FROM {entries} WHERE {entries.namespace} = %s"
PAGE = 10_000
"""Entries that are fetched at a time."""


def appends(profile: Profile, namespace: str, times: int | None = None) -> Script:
    """Each client appends entries, `times` of them or until it is stopped. No two entries have the same value."""

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        entry = f"{turn.client}-{turn.number}"
        return Task(APPEND, entry, entry, lambda session: _append(session, profile, namespace, entry))

    return script


def size_of(namespace: str, entry: Operation) -> int:
    """The size of an entry in bytes: namespace, key and value."""
    return len(f"{namespace}{entry.value}{entry.value}".encode())


def _append(session: sql.Session, profile: Profile, namespace: str, entry: str) -> None:
    sql.execute(session, profile.sql(INSERT_ENTRY), [namespace, entry, entry])


def entries_on(where: sql.Endpoint, profile: Profile, namespace: str, primary: bool = True) -> Iterator[str]:
    """The entries of a ledger, in no particular order, fetched page by page.

    They are there for certain only when the iteration has ended. From a `primary` they are read in a transaction that
    also writes, to the same shard: its commit waits for the synchronous standby, so that a former leader cannot answer.
    (Locking what is read would do so, too, but writes to each row.)
    """
    with sql.session(where, autocommit=False) as session:
        if primary:
            mark = f"read-{new_id()}"
            _append(session, profile, namespace, mark)
            sql.execute(session, profile.sql(DELETE_ENTRY), [namespace, mark])
        sql.execute(session, profile.sql(_CURSOR), [namespace])
        while page := sql.rows(session, f"FETCH {PAGE} FROM ledger"):
            yield from (value for (value,) in page)
        session.commit()


def read_back(where: sql.Endpoint, profile: Profile, namespace: str, history: History) -> None:
    """Read the whole ledger from a primary, and record it as one operation whose value is the list of entries."""
    _record(where, profile, namespace, history, primary=True)


def read_anywhere(where: sql.Endpoint, profile: Profile, namespace: str, history: History) -> None:
    """Record what this server holds, which may be a replica."""
    _record(where, profile, namespace, history, primary=False)


def close_ledger(workload: Workload, where: sql.Endpoint, profile: Profile, namespace: str, within: float) -> History:
    """Wait until clients get through again, stop them, and read the whole ledger.

    Raises NotInTime if no client gets through within `within` seconds: then nothing is known about lost writes.
    """
    if workload.running:
        workload.await_acknowledged(10, within)
    workload.stop()
    eventually(
        lambda: read_back(where, profile, namespace, workload.history),
        within=within,
        subject="the ledger can be read back",
        retry_on=(sql.Error, ConnectFailed),
    )
    return workload.history


def measure_ledger(
    world: World, history: History, where: str = "", lost_at_most: int | None = 0, since: float | None = None
) -> None:
    """Record for the report what became of a ledger that was read back; `where` names one of several in the figures.

    `lost_at_most` is None where the cluster may lose writes. If `since` is given, the moment of the fault, also how far
    the lost writes reach back before it.
    """
    world.measure(f"acknowledged writes{where}", len(history.of(action=APPEND, outcome=Outcome.OK)), "")
    world.measure(f"unknown writes{where}", len(history.of(action=APPEND, outcome=Outcome.UNKNOWN)), "")
    world.measure(f"lost writes{where}", len(lost_writes(history)), "", lost_at_most)
    if since is not None and (reach := lost_reach_back(history, since)) is not None:
        world.measure(f"{LOST_REACH_BACK}{where}", reach, "s")


def _record(where: sql.Endpoint, profile: Profile, namespace: str, history: History, primary: bool) -> None:
    begun = time.monotonic()
    found = list(entries_on(where, profile, namespace, primary))
    history.append(Operation(-1, READ, namespace, found, Outcome.OK, begun, time.monotonic()))


_FUNCTIONS = {APPEND: "add", READ: "read"}


def as_set(history: History) -> str:
    """The history for elle-cli's model "set", which has appends and reads of the whole ledger; the rest is left out."""
    return as_events(
        Invocation(
            one.client,
            _FUNCTIONS[one.action],
            None if one.action == READ else one.value,
            one.value,
            one.outcome,
            one.begun,
            one.ended,
        )
        for one in history
        if one.action in _FUNCTIONS
    )
