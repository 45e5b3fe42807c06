"""Replication slots: through which one each replica streams, and which are left over.

Source: patroni/dcs/__init__.py (`get_replication_slots`)
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from support import sql
from support.errors import Inconclusive
from support.target import dcs
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, status_of
from support.target.patroni_configuration import await_configuration, shared_configuration
from support.target.purposes import purposes
from support.target.slots import slot_name
from support.waiting import NotYet, describe, eventually, in_time

_SLOTS = """
    SELECT slot.slot_name, slot.slot_type, slot.active, sender.application_name, sender.state, slot.wal_status
      FROM pg_replication_slots slot LEFT JOIN pg_stat_replication sender ON sender.pid = slot.active_pid
     WHERE NOT slot.temporary
"""
_RESERVED = "reserved"


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


def slotless(cluster: Cluster) -> list[str]:
    """The replicas that do not stream through an active slot of their upstream, each with what there is instead."""
    sources = {name: one.source for name, one in purposes(cluster).items() if one.source}
    used = {
        source: {slot.replica: slot for slot in slots(cluster, source) if slot.active} for source in {*sources.values()}
    }
    return [
        f"{name}: {_use(used[source].get(name))}"
        for name, source in sorted(sources.items())
        if name not in used[source] or used[source][name].state != "streaming"
    ]


def streaming(cluster: Cluster) -> list[str]:
    """The replicas of the group that are meant to stream."""
    return [name for name, one in purposes(cluster).items() if one.source]


def orphaned(cluster: Cluster) -> list[str]:
    """The unused slots on the leader: each keeps it from removing old WAL, until its disk is full.

    Raises Inconclusive if it cannot be found out whether Patroni keeps an unused slot for a member that has gone.
    """
    leader = cluster.leader()
    elsewhere = [name for name, one in purposes(cluster).items() if one.source != leader]
    configured = shared_configuration(cluster).get("slots")
    permanent = [*(configured if isinstance(configured, Mapping) else ()), *map(slot_name, elsewhere)]
    present = slots(cluster, leader)
    try:
        members = set(map(slot_name, cluster.members))
        permanent += dcs.state(cluster.topology, cluster.group).retained - members
    except NO_ANSWER as error:
        left = [one for one in present if one.kind == "physical" and orphans([one], permanent)]
        if left and _keeps_slots_of_absent_members(cluster, leader):
            raise Inconclusive(
                f"nobody uses {', '.join(one.name for one in left)}; only the DCS tells whether Patroni keeps it for a "
                f"while for a member that has gone (member_slots_ttl): {describe(error)}"
            ) from error
    return orphans(present, permanent)


def _keeps_slots_of_absent_members(cluster: Cluster, leader: str) -> bool:
    """Patroni does so since 4.0, unless configured otherwise."""
    about = cluster.patroni(leader).status().get("patroni")
    version = str(about.get("version", "")) if isinstance(about, Mapping) else ""
    return not version.startswith(("1.", "2.", "3.")) and shared_configuration(cluster).get("member_slots_ttl") != 0


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


def require_slots_as_declared(cluster: Cluster) -> None:
    """Raises AssertionError where Patroni's use_slots is not as [expect] declares."""
    on, wanted = await_configuration(cluster).slots, cluster.topology.expectations.replication_slots
    if wanted is not None and on is not wanted:
        raise AssertionError(
            f"replication slots were declared {'on' if wanted else 'off'} ([expect] replication_slots = "
            f"{str(wanted).lower()}), and Patroni's use_slots is {'on' if on else 'off'}"
        )


def require_delays_as_declared(cluster: Cluster) -> None:
    """Raises AssertionError where a member that [expect] declares to replay late does not."""
    declared, delays = cluster.topology.expectations.delayed_replicas or (), cluster.topology.delays
    if missing := [name for name in declared if name in cluster.members and name not in delays]:
        raise AssertionError(
            f"{', '.join(missing)} was declared to replay late ([expect] delayed_replicas), and its "
            "recovery_min_apply_delay is 0"
        )


def await_received(cluster: Cluster, within: float) -> None:
    """Wait until each replica that replays late on purpose has all that the leader has written by now.

    Raises NotInTime if one lacks some of it, or gives no answer, for longer than `within` seconds.
    """
    subject = "the replicas that replay late have received what was written"
    written = eventually(
        lambda: status_of(cluster, cluster.leader()).wal,
        within=cluster.topology.timing.notice,
        subject=subject,
        retry_on=NO_ANSWER,
    )
    in_time(lambda: require_received(cluster, written), within=within, subject=subject, retry_on=NO_ANSWER)


def require_received(cluster: Cluster, written: int) -> None:
    """Raises NotYet while a replica that replays late on purpose lacks WAL before `written`, a position in bytes."""
    late = [name for name, one in purposes(cluster).items() if one.delay and one.receives_at_once]
    for name in late:
        if (has := status_of(cluster, name).wal) < written:
            raise NotYet(f"{name} has received {has}, the leader had written {written}")


def slots(cluster: Cluster, member: str) -> tuple[MemberSlot, ...]:
    """The permanent replication slots of a member, as a superuser sees them."""
    return tuple(MemberSlot(*row) for row in sql.rows(cluster.administration_of(member), _SLOTS))


def _use(slot: MemberSlot | None) -> str:
    return f"{slot.state} through slot {slot.name}" if slot else "it uses no slot"
