"""Markers: rows written in one place and looked for in another, to see how soon they arrive."""

import time
from collections.abc import Mapping
from contextlib import ExitStack, closing

from support import sql
from support.errors import ConnectFailed, Inconclusive
from support.example_app.entries import INSERT_ENTRY, READ_VALUE
from support.example_app.profile import Profile
from support.target.cluster import Cluster
from support.target.purposes import prompt_replicas
from support.waiting import NotYet, eventually

_PAUSE = 0.01  # seconds between two attempts: the delay to measure is a few milliseconds


def write(where: sql.Endpoint | sql.Session, profile: Profile, namespace: str, key: str) -> float:
    """Commit a marker; returns when the commit was acknowledged (monotonic clock)."""
    sql.execute(where, profile.sql(INSERT_ENTRY), [namespace, key, key])
    return time.monotonic()


def is_there(where: sql.Endpoint | sql.Session, profile: Profile, namespace: str, key: str) -> bool:
    """Whether a marker is visible there now."""
    found = sql.rows(where, profile.sql(READ_VALUE), [namespace, key])
    return found == [(key,)]


def await_seen(
    places: Mapping[str, sql.Endpoint | sql.Session], profile: Profile, namespace: str, key: str, within: float
) -> None:
    """Wait until a marker is visible in all places; raises NotInTime, naming the places where it is not."""

    def seen() -> None:
        missing = [name for name, where in places.items() if not is_there(where, profile, namespace, key)]
        if missing:
            raise NotYet(f"not on {', '.join(missing)}")

    eventually(
        seen,
        within=within,
        subject=f"{key}, committed, is seen on {' and '.join(places)}",
        retry_on=(ConnectFailed, sql.Error),
        pause=_PAUSE,
    )


def delays(cluster: Cluster, namespace: str, count: int, within: float) -> list[float]:
    """Write markers, one after another; returns the seconds from each commit until all replicas showed the marker.

    Replicas that replay late on purpose, or read the archive, are left out. Raises NotInTime if one takes longer than
    `within` seconds, Inconclusive if there is no replica.
    """
    with ExitStack() as opened:
        writer = opened.enter_context(sql.session(cluster.write))
        readers = {
            f"replica {name}": opened.enter_context(closing(_await_login(cluster.of_member(name), within)))
            for name in prompt_replicas(cluster)
        }
        if not readers:
            raise Inconclusive("there is no replica to look for a marker on")
        profile = cluster.profile
        return [_delay(writer, readers, profile, namespace, f"marker-{number}", within) for number in range(count)]


def _await_login(where: sql.Endpoint, within: float) -> sql.Session:
    return eventually(
        lambda: sql.connect(where, connect_timeout=within, autocommit=True),
        within=within,
        subject=f"{where.name} can be asked for markers",
        retry_on=(ConnectFailed,),
    )


def _delay(
    writer: sql.Session,
    readers: Mapping[str, sql.Session],
    profile: Profile,
    namespace: str,
    key: str,
    within: float,
) -> float:
    committed = write(writer, profile, namespace, key)
    await_seen(readers, profile, namespace, key, within)
    return time.monotonic() - committed
