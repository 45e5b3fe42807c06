"""One counter that every client reads, adds one to and writes back, under a row lock."""

from support import sql
from support.workloads.client import Task
from support.workloads.runner import Script, Turn

INCREMENT = "increment"
KEY = "counter"
_READ = "SELECT version FROM memory_entries WHERE namespace = %s AND key = %s"
_WRITE = "UPDATE memory_entries SET version = %s WHERE namespace = %s AND key = %s"


def create(where: sql.Endpoint, namespace: str) -> None:
    """A counter that stands at 0."""
    statement = "INSERT INTO memory_entries (namespace, key, value, version) VALUES (%s, %s, '', 0)"
    sql.execute(where, statement, [namespace, KEY])


def reading(where: sql.Endpoint | sql.Session, namespace: str) -> int:
    """What the counter stands at."""
    return int(sql.value(where, _READ, [namespace, KEY]))


def final_reading(where: sql.Endpoint | sql.Session, namespace: str) -> int:
    """The same, of a server that can write: one that has stopped to lead cannot answer."""
    return int(sql.value(where, f"{_READ} FOR UPDATE", [namespace, KEY]))


def increments(namespace: str, times: int | None = None) -> Script:
    """Each client adds one, `times` times or until it is stopped. The value recorded is the one written back."""

    def increment(session: sql.Session) -> int:
        # In two statements on purpose: only the row lock keeps another client from writing in between.
        written = int(sql.value(session, f"{_READ} FOR UPDATE", [namespace, KEY])) + 1
        sql.execute(session, _WRITE, [written, namespace, KEY])
        return written

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        return Task(INCREMENT, KEY, None, increment, transaction=True)

    return script
