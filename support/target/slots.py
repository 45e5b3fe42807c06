"""Replication slots: whose they are, whether a consumer could lose WAL through which it has to catch up, and how one is
dropped that Patroni maintained.

Sources: patroni/dcs/__init__.py (`slot_name_from_member_name`); patroni/postgresql/slots.py (`_drop_incorrect_slots`,
`ignore_replication_slot`) and patroni/postgresql/mpp/citus.py, for the slots that Patroni does not drop
"""

import re
import time
from collections.abc import Iterable, Sequence

from support import sql
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, NoAnswer, ask_in_parallel
from support.waiting import NotYet, describe, eventually

_NOT_IN_NAMES = re.compile(r"[^a-z0-9_]")
_LOGICAL = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical' ORDER BY 1"
_AWAY = """
    SELECT slot_name FROM pg_replication_slots
     WHERE slot_type = 'physical' AND NOT active AND NOT temporary AND restart_lsn IS NOT NULL AND slot_name <> ALL (%s)
     ORDER BY 1
"""
"""A slot without a restart_lsn keeps no WAL: it was never used, or is lost already."""
_IS_THERE = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s"
_DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"


def slot_name(member: str) -> str:
    """The name of the slot that Patroni creates for a member."""
    replaced = member.lower().replace("-", "_").replace(".", "_")
    return _NOT_IN_NAMES.sub(lambda one: f"u{ord(one[0]):04d}", replaced)[:63]


def at_risk(leader: sql.Endpoint | sql.Session, members: Iterable[str]) -> str:
    """Whose consumer could lose something for good while the leader keeps little WAL; empty if nobody's.

    A logical slot's may be behind at any time. A physical slot that is in use is no risk: its consumer is waited for.
    Slots of the members are left out: they can be rebuilt.
    """
    if logical := [name for (name,) in sql.rows(leader, _LOGICAL)]:
        return f"a consumer of a logical slot ({', '.join(logical)}) could lose changes while little WAL is kept"
    if away := [name for (name,) in sql.rows(leader, _AWAY, [[slot_name(one) for one in members]])]:
        return f"a consumer that is away ({', '.join(away)}: a physical slot) could lose WAL while little is kept"
    return ""


def is_on(cluster: Cluster, member: str, slot: str) -> bool:
    """Whether a member has a slot."""
    return bool(sql.value(cluster.monitoring_of(member), _IS_THERE, [slot]))


def drop(cluster: Cluster, members: Sequence[str], slot: str, within: float) -> list[str]:
    """Wait until none of the members has a slot that was removed from Patroni's configuration.

    Returns the members on which Patroni left it, so that it was dropped here. Patroni leaves what `ignore_slots` names
    and, on a leader with Citus, any logical slot of Citus' database: from 3.0 on, at least until 4.1.5, the comparison
    with the names of Citus' own slots fails (KeyError: 'name'). While it is paused, it drops none. Patroni has the time
    to read its configuration first, counted on each member from when the slot was first seen there: one that has just
    started knows only what it knew before, and would create the slot again.

    Where no superuser's login is known, nothing is dropped here. Raises NotInTime, which says where the slot is left.
    """
    patience, may_drop = min(cluster.topology.timing.effect, within), cluster.topology.administrator is not None
    seen, dropped = dict[str, float](), set[str]()

    def left_on(name: str) -> str:
        """The member, and why it still has the slot, if that is known; empty if it has none."""
        if not is_on(cluster, name, slot):
            return ""
        first = seen.setdefault(name, time.monotonic())
        if not may_drop or time.monotonic() - first < patience:
            return name
        try:
            sql.execute(cluster.administration_of(name), _DROP, [slot])
        except sql.Error as error:
            return f"{name} ({describe(error)})"
        if is_on(cluster, name, slot):  # it is, if somebody read it just then
            return name
        dropped.add(name)
        return ""

    def gone() -> None:
        found = ask_in_parallel(members, left_on)
        if left := [why for why in found.values() if why and not isinstance(why, NoAnswer)]:
            have, keep = ("has", "keeps") if len(left) == 1 else ("have", "keep")
            raise NotYet(f"{' and '.join(left)} still {have} it, and {keep} WAL for it ({dropping(slot)})")
        if silent := [f"{name}: {why}" for name, why in found.items() if isinstance(why, NoAnswer)]:
            raise NotYet(f"whether it is there cannot be seen: {', '.join(silent)} ({dropping(slot)})")

    eventually(gone, within=within, subject=f"the slot {slot} is dropped on every member", retry_on=NO_ANSWER)
    return sorted(dropped)


def dropping(slot: str) -> str:
    """What drops a slot, for people."""
    return f"SELECT pg_drop_replication_slot('{slot}') drops it"
