"""A ledger: clients append, nobody changes what was appended; so whatever is missing later was lost.

A ledger's history as elle-cli reads it, so that somebody else's checker can judge what ours did.

    gunzip -c ledger.json.gz > ledger.json && elle-cli --model set ledger.json

Sources: https://github.com/ligurio/elle-cli (README, "set"; src/elle_cli/cli.clj, `read-json-history`: one JSON array)
"""

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from support import sql
from support.engine.history import History, Operation, Outcome
from support.engine.workload import Script, Task, Turn, Workload
from support.errors import ConnectFailed
from support.example_app.profile import Profile
from support.waiting import eventually

APPEND, READ = "append", "read"
_APPEND = (
    "INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also}) "
    "VALUES (%s, %s, %s{entries.filling})"
)
_READ_ANYWHERE = "SELECT {entries.value} FROM {entries} WHERE {entries.namespace} = %s ORDER BY {entries.key}"
# FOR UPDATE, so that no server that has stopped to lead can answer.
_READ = f"{_READ_ANYWHERE} FOR UPDATE"


def appends(profile: Profile, namespace: str, times: int | None = None) -> Script:
    """Each client appends entries of its own, `times` of them or until it is stopped; no two have the same value."""

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        entry = f"{turn.client}-{turn.number}"
        return Task(APPEND, entry, entry, lambda session: _append(session, profile, namespace, entry))

    return script


def size_of(namespace: str, entry: Operation) -> int:
    """Bytes of an entry of the ledger: its namespace, its key and its value."""
    return len(f"{namespace}{entry.value}{entry.value}".encode())


def _append(session: sql.Session, profile: Profile, namespace: str, entry: str) -> None:
    sql.execute(session, profile.sql(_APPEND), [namespace, entry, entry])


def read_back(where: sql.Endpoint | sql.Session, profile: Profile, namespace: str, history: History) -> None:
    """Record all that the ledger holds, as one operation whose value is the list of it."""
    _record(where, profile.sql(_READ), namespace, history)


def read_anywhere(where: sql.Endpoint, profile: Profile, namespace: str, history: History) -> None:
    """The same by a server that may be a replica: what it holds, whatever the leader may hold."""
    _record(where, profile.sql(_READ_ANYWHERE), namespace, history)


def close_ledger(workload: Workload, where: sql.Endpoint, profile: Profile, namespace: str, within: float) -> History:
    """Wait until clients get through again, let them end, and read back all that the ledger holds.

    Raises NotInTime when no client gets through within that many seconds: what is lost cannot be told then.
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


def _record(where: sql.Endpoint | sql.Session, statement: str, namespace: str, history: History) -> None:
    begun = time.monotonic()
    found = [value for (value,) in sql.rows(where, statement, [namespace])]
    history.append(Operation(-1, READ, namespace, found, Outcome.OK, begun, time.monotonic()))


_TYPES = {Outcome.OK: "ok", Outcome.FAIL: "fail", Outcome.UNKNOWN: "info"}
_FUNCTIONS = {APPEND: "add", READ: "read"}
_NANOSECONDS = 1_000_000_000


def as_set(history: History) -> str:
    """A JSON array, one event a line: each operation is invoked, and ends, in the order in which that happened.

    Reads are of the whole ledger. What is neither an append nor a read is left out, as the model knows no more.
    """
    operations = [one for one in history if one.action in _FUNCTIONS]
    events = sorted(itertools.chain.from_iterable(_events(operations)), key=lambda event: int(event["time"]))
    lines = (json.dumps({"index": index, **event}) for index, event in enumerate(events))
    return "[" + ",\n".join(lines) + "]\n"


def _events(operations: list[Operation]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The two events of each. Whoever does not know what came of an operation goes on as another process, for nothing
    can tell when it happens, if it does."""
    fresh = itertools.count()
    process: dict[int, int] = {}
    for one in sorted(operations, key=lambda one: one.begun):
        if one.client not in process:
            process[one.client] = next(fresh)
        told = {"process": process[one.client], "f": _FUNCTIONS[one.action]}
        if one.outcome is Outcome.UNKNOWN:
            del process[one.client]
        asked = None if one.action == READ else one.value
        yield (
            {"type": "invoke", **told, "value": asked, "time": round(one.begun * _NANOSECONDS)},
            {"type": _TYPES[one.outcome], **told, "value": one.value, "time": round(one.ended * _NANOSECONDS)},
        )
