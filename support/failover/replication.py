"""Replication slots: through which one each replica streams, and which are left over.

Source: patroni/dcs/__init__.py (`slot_name_from_member_name`, `get_replication_slots`)
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from support import sql
from support.target.cluster import Cluster
from support.target.patroni import MemberView
from support.target.patroni_configuration import shared_configuration

_SLOTS = """
    SELECT slot.slot_name, slot.slot_type, slot.active, sender.application_name, sender.state, slot.wal_status
      FROM pg_replication_slots slot LEFT JOIN pg_stat_replication sender ON sender.pid = slot.active_pid
     WHERE NOT slot.temporary
"""
_RESERVED = "reserved"
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_]")


@dataclass(frozen=True)
class MemberSlot:
    """One replication slot of a server, and the replica that streams through it."""

    name: str
    kind: str
    """"physical" or "logical"."""
    active: bool
    replica: str | None
    """The name of the member that uses it."""
    state: str | None
    """"streaming" once that member has caught up."""
    wal: str | None
    """"reserved" while the slot keeps no more WAL than max_wal_size; then "extended", "unreserved", "lost"."""


def upstreams(leader: str, members: Iterable[MemberView]) -> dict[str, str]:
    """Replica -> the member from which it is configured to stream: the leader, unless its tags name another one.

    A replica that does not stream by configuration (nostream) is left out.
    """
    known = {one.name: one for one in members}
    return {
        name: source if (source := str(one.tags.get("replicatefrom") or "")) in known and source != name else leader
        for name, one in known.items()
        if name != leader and not one.tags.get("nostream")
    }


def slotless(cluster: Cluster) -> list[str]:
    """The replicas that do not stream through an active slot of their upstream, each with what there is instead."""
    leader, view = cluster.leader(), cluster.view()
    unknown = {*cluster.followers()} - {one.name for one in view.members}
    sources = {**dict.fromkeys(unknown, leader), **upstreams(leader, view.members)}
    used = {
        source: {slot.replica: slot for slot in slots(cluster, source) if slot.active} for source in {*sources.values()}
    }
    return [
        f"{name}: {_use(used[source].get(name))}"
        for name, source in sorted(sources.items())
        if name not in used[source] or used[source][name].state != "streaming"
    ]


def orphaned(cluster: Cluster) -> list[str]:
    """The slots on the leader that nobody uses: each keeps it from removing old WAL, until its disk is full."""
    leader, members = cluster.leader(), cluster.view().members
    elsewhere = [one.name for one in members if upstreams(leader, members).get(one.name) != leader]
    configured = shared_configuration(cluster).get("slots")
    permanent = [*(configured if isinstance(configured, Mapping) else ()), *map(slot_name, elsewhere)]
    return orphans(slots(cluster, leader), permanent)


def orphans(found: Iterable[MemberSlot], permanent: Collection[str]) -> list[str]:
    """The names of the slots that nobody uses and nobody keeps on purpose.

    `permanent` are those that Patroni keeps whether they are used or not. The consumer of a logical slot may be away
    for a while: such a slot is an orphan once it keeps more WAL than the server keeps anyway.
    """
    return [
        f"{one.name} ({one.kind}, the WAL for it is {one.wal})"
        for one in found
        if not one.active and one.name not in permanent and (one.kind == "physical" or one.wal != _RESERVED)
    ]


def slot_name(member: str) -> str:
    """The name of the slot that Patroni creates for a member."""
    replaced = member.lower().replace("-", "_").replace(".", "_")
    return _NOT_IN_NAMES.sub(lambda one: f"u{ord(one[0]):04d}", replaced)[:63]


def slots(cluster: Cluster, member: str) -> tuple[MemberSlot, ...]:
    """The permanent replication slots of a member, as a superuser sees them."""
    return tuple(MemberSlot(*row) for row in sql.rows(cluster.administration_of(member), _SLOTS))


def _use(slot: MemberSlot | None) -> str:
    return f"{slot.state} through slot {slot.name}" if slot else "it uses no slot"
