"""One counter that every client reads, adds one to and writes back, under a row lock."""

from support import sql
from support.application.profile import Profile
from support.workloads.client import Task
from support.workloads.runner import Script, Turn

INCREMENT = "increment"
KEY = "counter"
_CREATE = (
    "INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also}) "
    "VALUES (%s, %s, %s{entries.filling})"
)
_READ = "SELECT {entries.value}::bigint FROM {entries} WHERE {entries.namespace} = %s AND {entries.key} = %s"
_WRITE = "UPDATE {entries} SET {entries.value} = %s WHERE {entries.namespace} = %s AND {entries.key} = %s"


def create(where: sql.Endpoint, profile: Profile, namespace: str) -> None:
    """A counter that stands at 0: an entry, whose value is the number."""
    sql.execute(where, profile.sql(_CREATE), [namespace, KEY, "0"])


def reading(where: sql.Endpoint | sql.Session, profile: Profile, namespace: str) -> int:
    """What the counter stands at."""
    return int(sql.value(where, profile.sql(_READ), [namespace, KEY]))


def final_reading(where: sql.Endpoint | sql.Session, profile: Profile, namespace: str) -> int:
    """The same, of a server that can write: one that has stopped to lead cannot answer."""
    return int(sql.value(where, profile.sql(f"{_READ} FOR UPDATE"), [namespace, KEY]))


def increments(profile: Profile, namespace: str, times: int | None = None) -> Script:
    """Each client adds one, `times` times or until it is stopped. The value recorded is the one written back."""

    def increment(session: sql.Session) -> int:
        # In two statements on purpose: only the row lock keeps another client from writing in between.
        written = final_reading(session, profile, namespace) + 1
        sql.execute(session, profile.sql(_WRITE), [str(written), namespace, KEY])
        return written

    def script(turn: Turn) -> Task | None:
        if turn.number == times:
            return None
        return Task(INCREMENT, KEY, None, increment, transaction=True)

    return script
