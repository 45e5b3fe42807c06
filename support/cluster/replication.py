"""Replication slots as the leader's PostgreSQL reports them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from support import sql

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
    """The name under which its user streams: a member's."""
    state: str | None
    """"streaming" when its user has caught up."""


def slots(leader: sql.Endpoint) -> tuple[Slot, ...]:
    """The lasting replication slots. A role without pg_monitor sees no names of replicas."""
    return tuple(Slot(*row) for row in sql.rows(leader, _SLOTS))


def slotless(slots: Iterable[Slot], replicas: Collection[str]) -> list[str]:
    """The replicas to which nothing is streamed through an active slot, each with what there is instead."""
    used = {slot.replica: slot for slot in slots if slot.active}
    found = {
        name: f"{used[name].state} through slot {used[name].name}" if name in used else "it uses no slot"
        for name in replicas
    }
    return [f"{name}: {what}" for name, what in found.items() if not what.startswith("streaming ")]


def orphaned(slots: Iterable[Slot]) -> list[str]:
    """The slots that nobody uses: each keeps the leader from ever removing old WAL."""
    return [slot.name for slot in slots if not slot.active]
