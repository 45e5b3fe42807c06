"""A counter in one row that many clients add to.

`increments` reads the counter under a row lock and writes one more back. `operations` repeats each increment until it
is acknowledged, and marks it with an id so that it is applied once: how the application survives a cut connection. Each
time that an operation is applied, it leaves a receipt: the number that it counted up to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg2.errors

from support import sql
from support.engine.checks.exactly_once import Applied
from support.engine.workload import AT_READ_COMMITTED, Script, Task, Turn, Workload
from support.errors import ConnectFailed
from support.example_app.entries import INSERT_ENTRY, READ_VALUE, WRITE_VALUE
from support.example_app.profile import Profile
from support.waiting import eventually

INCREMENT = "increment"
KEY = "counter"


def create(where: sql.Endpoint, profile: Profile, namespace: str) -> None:
    """Store a counter that stands at 0: an entry whose value is the number."""
    sql.execute(where, profile.sql(INSERT_ENTRY), [namespace, KEY, "0"])


def reading(where: sql.Endpoint | sql.Session, profile: Profile, namespace: str) -> int:
    """The value of the counter."""
    return int(sql.value(where, profile.sql(READ_VALUE), [namespace, KEY]))


def final_reading(where: sql.Endpoint | sql.Session, profile: Profile, namespace: str) -> int:
    """The value of the counter on a primary. A former leader cannot answer."""
    return int(sql.value(where, profile.sql(f"{READ_VALUE} FOR UPDATE"), [namespace, KEY]))


def increments(profile: Profile, namespace: str, times: int | None = None) -> Script:
    """Each client adds one, `times` times or until it is stopped. The recorded value is the one written back.

    At read committed, whatever the default level of the role or database: there the row lock alone serializes the
    clients, and no increment has to be retried because of a conflict.
    """

    def increment(session: sql.Session) -> int:
        # Two statements on purpose: only the row lock keeps another client from writing in between.
        sql.execute(session, AT_READ_COMMITTED)
        written = final_reading(session, profile, namespace) + 1
        sql.execute(session, profile.sql(WRITE_VALUE), [str(written), namespace, KEY])
        return written

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        return Task(INCREMENT, KEY, None, increment, transaction=True)

    return script


COUNT = "count"
_RECEIPT = "-counted-as"
"""The key of an operation's receipt is its id and this; its value is the number that it counted up to."""
# The entry with the id of the operation, the increment and its receipt are stored together, or none of them is. What
# was applied before is a unique violation. ON CONFLICT would not do: no deferrable constraint of the table allows it.
# A further unique column of the table may be violated as well, by what fills it in: then the entry is not there.
_ONCE = """
    WITH fresh AS (
        INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also})
        VALUES (%(namespace)s, %(operation)s, 'done'{entries.filling}) RETURNING {entries.key}
    ), counted AS (
        UPDATE {entries} SET {entries.value} = ({entries.value}::bigint + 1)::text
        WHERE {entries.namespace} = %(namespace)s AND {entries.key} = %(counter)s AND EXISTS (SELECT FROM fresh)
        RETURNING {entries.value}
    )
    INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also})
    SELECT %(namespace)s, %(receipt)s, counted.{entries.value}{entries.filling} FROM counted
"""
_APPLIED = "SELECT 1 FROM {entries} WHERE {entries.namespace} = %(namespace)s AND {entries.key} = %(operation)s"
_RECEIPTS = """
    SELECT {entries.key}, {entries.value}::bigint FROM {entries}
    WHERE {entries.namespace} = %s AND right({entries.key}, %s) = %s
"""


Execute = Callable[[str, Mapping[str, Any]], Sequence[object]]
"""Runs a statement with its values, and commits it; returns the rows if any."""


def operations(profile: Profile, namespace: str, pool: Execute | None = None) -> Script:
    """Each client adds one, again and again, by its own session or by the `pool`, which all clients share.

    Each operation is repeated until it is acknowledged.
    """

    def script(turn: Turn) -> Task:
        operation = f"{turn.client}-{turn.number}"
        values = _values(namespace, operation)

        def perform(session: sql.Session) -> None:
            _count(partial(sql.rows, session), profile, values)

        by_pool = partial(_count, pool, profile, values) if pool else None
        return Task(COUNT, operation, None, perform, retried=True, by_pool=by_pool)

    return script


def _count(execute: Execute, profile: Profile, values: Mapping[str, str]) -> None:
    """Apply an operation, unless that was done before.

    Raises the unique violation of another key than the operation's: then nothing was applied, and it is to be repeated.
    """
    try:
        execute(profile.sql(_ONCE), values)
    except psycopg2.errors.UniqueViolation:
        if not execute(profile.sql(_APPLIED), values):
            raise


def _values(namespace: str, operation: str) -> dict[str, str]:
    return {"namespace": namespace, "operation": operation, "receipt": operation + _RECEIPT, "counter": KEY}


@dataclass(frozen=True)
class Counted:
    """The counter at the end, and what each operation counted up to."""

    counter: int
    applied: tuple[Applied, ...]


def close_count(workload: Workload, where: sql.Endpoint, profile: Profile, namespace: str, within: float) -> Counted:
    """Wait until clients get through again, stop them, and read the counter and all receipts."""
    workload.await_acknowledged(20, within)
    workload.stop()
    return eventually(
        lambda: _final_count(where, profile, namespace),
        within=within,
        subject="the counter can be read",
        retry_on=(sql.Error, ConnectFailed),
    )


def _final_count(where: sql.Endpoint, profile: Profile, namespace: str) -> Counted:
    """Both in one transaction that locks the counter: an operation whose answer was lost may still be under way."""
    with sql.session(where, autocommit=False) as session:
        counter = final_reading(session, profile, namespace)
        found = sql.rows(session, profile.sql(_RECEIPTS), [namespace, len(_RECEIPT), _RECEIPT])
    return Counted(counter, tuple(Applied(key.removesuffix(_RECEIPT), number) for key, number in found))
