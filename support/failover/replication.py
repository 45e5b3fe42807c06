"""Replication slots as the leader's PostgreSQL reports them, and what pg_rewind needs to bring a member back."""

from dataclasses import dataclass

from support import sql
from support.errors import Inconclusive
from support.target.cluster import Cluster
from support.target.members import settings
from support.target.patroni_configuration import shared_configuration

_SLOTS = """
    SELECT slot.slot_name, slot.active, sender.application_name, sender.state
      FROM pg_replication_slots slot LEFT JOIN pg_stat_replication sender ON sender.pid = slot.active_pid
     WHERE NOT slot.temporary
"""


@dataclass(frozen=True)
class Slot:
    """One replication slot on the leader, and the replica that streams through it."""

    name: str
    active: bool
    replica: str | None
    """The name of the member that uses it."""
    state: str | None
    """"streaming" once that member has caught up."""


def slotless(cluster: Cluster) -> list[str]:
    """The replicas that do not stream through an active slot, each with what there is instead."""
    used = {slot.replica: slot for slot in slots(cluster) if slot.active}
    return [
        f"{name}: {_use(used.get(name))}"
        for name in cluster.followers()
        if name not in used or used[name].state != "streaming"
    ]


def orphaned(cluster: Cluster) -> list[str]:
    """The slots on the leader that nobody uses: each keeps it from removing old WAL, until its disk is full."""
    return [slot.name for slot in slots(cluster) if not slot.active]


def slots(cluster: Cluster) -> tuple[Slot, ...]:
    """The permanent replication slots of the leader, as a superuser sees them."""
    return tuple(Slot(*row) for row in sql.rows(cluster.administration_of(cluster.leader()), _SLOTS))


def _use(slot: Slot | None) -> str:
    return f"{slot.state} through slot {slot.name}" if slot else "it uses no slot"


_NEEDED = ("wal_log_hints", "data_checksums")
_ON = frozenset({"on", "true", "yes", "1"})


def not_rewindable(cluster: Cluster) -> list[str]:
    """The members whose WAL lacks the hint bits that pg_rewind needs (wal_log_hints or data checksums)."""
    return [
        f"{member}: {values}" for member, values in settings(cluster, _NEEDED).items() if "on" not in values.values()
    ]


def rewind_configured(cluster: Cluster) -> bool:
    """Whether Patroni uses pg_rewind. Raises Inconclusive if the configuration in the DCS does not say so."""
    patroni = shared_configuration(cluster).get("postgresql", {})
    if "use_pg_rewind" not in patroni:
        raise Inconclusive("use_pg_rewind is not in the configuration that the DCS holds (patronictl edit-config)")
    return str(patroni["use_pg_rewind"]).lower() in _ON
