"""Markers: numbers that one client writes, and that a client at each replica looks for.

A marker is an operation "mark" whose value is the number; a look is one "look" whose key is the replica's name and
whose value is the number that it showed.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from support import sql
from support.application.profile import Profile
from support.errors import NotInTime
from support.history import History, Outcome
from support.waiting import NotYet, eventually
from support.workloads.client import Task
from support.workloads.runner import Script, Turn, Workload

_KEY = "marker"
_PLACE = (
    "INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also}) "
    "VALUES (%s, %s, %s{entries.filling})"
)
_MARK = "UPDATE {entries} SET {entries.value} = %s WHERE {entries.namespace} = %s AND {entries.key} = %s"
_LOOK = (
    "SELECT coalesce(max({entries.value}::bigint), 0) FROM {entries} "
    "WHERE {entries.namespace} = %s AND {entries.key} = %s"
)
_MARK_EVERY = 0.1  # seconds
_LOOK_EVERY = 0.02  # seconds: what is measured is in tens of milliseconds


def write_markers_and_watch(
    write: sql.Endpoint,
    replicas: Sequence[sql.Endpoint],
    profile: Profile,
    namespace: str,
    count: int,
    patience: float,
    history: History,
) -> list[str]:
    """Write `count` markers, and look at every replica until it has shown the last, for `patience` seconds at most.

    Returns the names of the replicas that were looked at, or to be looked at.
    """
    names = [replica.name for replica in replicas]
    sql.execute(write, profile.sql(_PLACE), [namespace, _KEY, "0"])
    with ExitStack() as watching:
        for replica in replicas:
            watcher = Workload(
                replica, _looks(profile, namespace, replica.name), clients=1, pace=_LOOK_EVERY, history=history
            )
            watching.enter_context(watcher)
        with Workload(write, _marks(profile, namespace, count), clients=1, pace=_MARK_EVERY, history=history) as writer:
            writer.await_end(within=count * (_MARK_EVERY + patience))
        _await_last_look(history, set(names), count, patience)
    return names


def _marks(profile: Profile, namespace: str, count: int) -> Script:
    def script(turn: Turn) -> Task | None:
        number = turn.number + 1
        if number > count:
            return None
        return Task("mark", _KEY, number, lambda session: _set(session, profile, namespace, number))

    return script


def _set(session: sql.Session, profile: Profile, namespace: str, number: int) -> None:
    sql.execute(session, profile.sql(_MARK), [str(number), namespace, _KEY])


def _looks(profile: Profile, namespace: str, replica: str) -> Script:
    def look(session: sql.Session) -> int:
        return int(sql.value(session, profile.sql(_LOOK), [namespace, _KEY]))

    return lambda turn: Task("look", replica, None, look)


def _await_last_look(history: History, replicas: set[str], last: int, patience: float) -> None:
    def all_shown() -> None:
        looks = history.of(action="look", outcome=Outcome.OK)
        if behind := replicas - {look.key for look in looks if look.value == last}:
            raise NotYet(f"not yet on {', '.join(sorted(behind))}")

    try:
        # A little longer than the limit, so that a look after it shows that the marker is still not there.
        eventually(all_shown, within=patience + 1, subject="the last marker is seen on every replica")
    except NotInTime:
        return  # which marker came how late is the checker's to say
