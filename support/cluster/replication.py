"""Replication as the leader's PostgreSQL reports it, and markers that show how fast it is."""

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import psycopg2

from support import sql
from support.cluster.cluster import Cluster
from support.errors import ConnectFailed
from support.waiting import NotYet, eventually

_SLOTS = """
    SELECT slot.slot_name, slot.active, sender.application_name, sender.state
      FROM pg_replication_slots slot LEFT JOIN pg_stat_replication sender ON sender.pid = slot.active_pid
     WHERE NOT slot.temporary
"""


@dataclass(frozen=True)
class Slot:
    """One replication slot on the leader, and who streams through it."""

    name: str
    active: bool
    replica: str | None
    """The name under which the one who uses it streams: a member's name."""
    state: str | None
    """"streaming" when it has caught up."""


def slots(leader: sql.Endpoint) -> tuple[Slot, ...]:
    """The lasting replication slots. A role without pg_monitor sees no names of replicas."""
    return tuple(Slot(*row) for row in sql.rows(leader, _SLOTS))


def slotless(slots: Iterable[Slot], replicas: Collection[str]) -> list[str]:
    """The replicas to which nothing is streamed through an active slot, each with what there is instead."""
    used = {slot.replica: f"{slot.state} through slot {slot.name}" for slot in slots if slot.active}
    streaming = {slot.replica for slot in slots if slot.active and slot.state == "streaming"}
    return [f"{one}: {used.get(one, 'no active slot is used by it')}" for one in replicas if one not in streaming]


def orphaned(slots: Iterable[Slot]) -> list[str]:
    """The slots that nobody uses: each keeps the leader from ever removing old WAL."""
    return [slot.name for slot in slots if not slot.active]


def write_marker(cluster: Cluster, namespace: str, key: str, value: str) -> float:
    """Commit a marker through the write endpoint; returns the time of the commit (monotonic clock)."""
    sql.execute(
        cluster.write,
        "INSERT INTO memory_entries (namespace, key, value) VALUES (%s, %s, %s)",
        [namespace, key, value],
    )
    return time.monotonic()


def marker(where: sql.Endpoint | sql.Session, namespace: str, key: str) -> str | None:
    """The value of a marker as it is seen there now; None if it is not there."""
    found = sql.rows(where, "SELECT value FROM memory_entries WHERE namespace = %s AND key = %s", [namespace, key])
    return found[0][0] if found else None


def delays(cluster: Cluster, namespace: str, markers: int, within: float) -> Mapping[str, list[float]]:
    """Write markers one after another; replica -> the seconds from each one's commit until it was seen there.

    Raises NotInTime, which names the replicas that did not show it, when one takes longer than `within` seconds.
    """
    seen: dict[str, list[float]] = {name: [] for name in cluster.replicas()}
    for number in range(markers):
        key = f"marker-{number}"
        committed = write_marker(cluster, namespace, key, key)
        for name in seen:
            await_marker(cluster.of_member(name), namespace, key, within - (time.monotonic() - committed))
            seen[name].append(time.monotonic() - committed)
    return seen


def await_marker(where: sql.Endpoint, namespace: str, key: str, within: float) -> str:
    """Wait until a marker is seen there; returns its value."""

    def seen() -> str:
        found = marker(where, namespace, key)
        if found is None:
            raise NotYet("it is not there")
        return found

    return eventually(
        seen,
        within=max(0.0, within),
        subject=f"{key} is seen on {where.name}",
        retry_on=(ConnectFailed, psycopg2.OperationalError),
    )
