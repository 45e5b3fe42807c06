"""Clients that count, and repeat what was not acknowledged: the application's own way through a cut connection."""

from collections.abc import Callable

from support import sql
from support.application.profile import Profile
from support.errors import ConnectFailed
from support.waiting import eventually
from support.workloads import counter
from support.workloads.client import Task
from support.workloads.runner import Script, Turn, Workload

COUNT = "count"
# An operation is known by its id: the entry of that name is made together with the increment, or not at all.
_ONCE = """
    WITH fresh AS (
        INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also})
        VALUES (%(namespace)s, %(operation)s, 'done'{entries.filling})
        ON CONFLICT DO NOTHING RETURNING {entries.key}
    )
    UPDATE {entries} SET {entries.value} = ({entries.value}::bigint + 1)::text
    WHERE {entries.namespace} = %(namespace)s AND {entries.key} = %(counter)s AND EXISTS (SELECT FROM fresh)
"""


def operations(profile: Profile, namespace: str, statement: str = _ONCE) -> Script:
    """Each client counts on, one operation after the other; each is repeated until it is acknowledged."""

    def script(turn: Turn) -> Task:
        operation = f"{turn.client}-{turn.number}"
        return Task(COUNT, operation, None, _counting(profile.sql(statement), namespace, operation), retried=True)

    return script


def _counting(statement: str, namespace: str, operation: str) -> Callable[[sql.Session], object]:
    values = {"namespace": namespace, "operation": operation, "counter": counter.KEY}
    return lambda session: sql.execute(session, statement, values)


def close_count(workload: Workload, where: sql.Endpoint, profile: Profile, namespace: str, within: float) -> int:
    """Wait until clients get through again, let them end, and read what the counter stands at."""
    workload.await_acknowledged(20, within)
    workload.stop()
    return eventually(
        lambda: counter.final_reading(where, profile, namespace),
        within=within,
        subject="the counter can be read",
        retry_on=(sql.Error, ConnectFailed),
    )
