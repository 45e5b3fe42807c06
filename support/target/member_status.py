"""How each member stands, in its own words: Patroni's answer about the PostgreSQL beside it, never older than now."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from support.target.cluster import Cluster
from support.target.members import Silent, ask_each
from support.waiting import NotYet

LEADER, REPLICA = "leader", "replica"
"""What a PostgreSQL can be by itself."""
THE_LEADER, A_REPLICA = "the leader", "a replica"
"""What Patroni makes of a member."""


@dataclass(frozen=True)
class MemberStatus:
    """One member as it is now."""

    role: str
    """LEADER or REPLICA; by its PostgreSQL, whoever holds the leader key."""
    state: str
    """"running" when it serves."""
    replication: str
    """"streaming" on a healthy replica, "none" on the leader."""
    timeline: int
    """0 while the member does not know it: a replica under no leader asks nobody."""
    wal: int
    """Up to where it has the WAL, in bytes."""
    synchronous: bool
    """It is a synchronous (or quorum) standby, by Patroni's state in the DCS."""
    started: datetime
    """When its PostgreSQL started; tells one server process from any other."""
    streams: Mapping[str, str]
    """Who streams from it -> sync, quorum, potential or async, by its own PostgreSQL."""


def member_statuses(cluster: Cluster) -> dict[str, MemberStatus | Silent]:
    """How every member stands now, all asked at once."""
    return ask_each(cluster.members, lambda name: status_of(cluster, name))


def status_of(cluster: Cluster, name: str) -> MemberStatus:
    """How one member stands now. Raises NotYet while its PostgreSQL gives no answer."""
    return parsed(name, cluster.patroni(name).status())


def makeup(cluster: Cluster) -> dict[str, dict[str, str]]:
    """The whole cluster as a table: member -> role, PostgreSQL, replication, timeline (beside the leader's)."""
    leading = status_of(cluster, cluster.leader()).timeline
    return {
        name: answer.row if isinstance(answer, Silent) else _row(answer, leading)
        for name, answer in member_statuses(cluster).items()
    }


def require_as_declared(cluster: Cluster) -> None:
    """Raises AssertionError where the members of all groups, by Patroni, are not those that [expect] declares."""
    declared = cluster.topology.expectations.members
    if declared is None:
        return
    known = sorted(name for group in cluster.groups for name in _known_members(group))
    if isinstance(declared, int):
        different = [] if len(known) == declared else [f"Patroni knows {len(known)}: {', '.join(known)}"]
    else:
        missing, further = sorted({*declared} - {*known}), sorted({*known} - {*declared})
        different = [f"Patroni does not know {', '.join(missing)}"] if missing else []
        different += [f"Patroni knows {', '.join(further)} as well"] if further else []
    if different:
        told = declared if isinstance(declared, int) else ", ".join(declared)
        raise AssertionError(f"members were declared ([expect] members: {told}), and {'; '.join(different)}")


def _known_members(group: Cluster) -> Collection[str]:
    """Of a group of Citus nodes without a Patroni, its nodes."""
    if all(group.address_of(name).rest is None for name in group.members):
        return group.members
    return [member.name for member in group.view().members]


def roles(cluster: Cluster) -> dict[str, str]:
    """Member -> THE_LEADER for the holder of the leader key, else A_REPLICA. Raises NotYet without a leader."""
    leader = cluster.leader()
    return {name: THE_LEADER if name == leader else A_REPLICA for name in cluster.members}


def _row(member: MemberStatus, leading: int) -> dict[str, str]:
    return {
        "role": member.role,
        "PostgreSQL": member.state,
        "replication": member.replication,
        "timeline": "the leader's" if member.timeline == leading else str(member.timeline),
    }


def parsed(name: str, status: Mapping[str, Any]) -> MemberStatus:
    """A member's answer to /patroni. Raises NotYet where that says nothing of its PostgreSQL."""
    if "xlog" not in status:
        raise NotYet(f"PostgreSQL of {name} is {status.get('state', 'in an unknown state')}")
    role, wal = str(status["role"]), status["xlog"]
    return MemberStatus(
        role=REPLICA if role in ("replica", "standby_leader") else LEADER,
        state=str(status["state"]),
        replication=str(status.get("replication_state", "none")),
        timeline=int(status.get("timeline") or 0),
        wal=int(wal.get("location", wal.get("received_location", 0)) or 0),
        synchronous=bool(status.get("sync_standby") or status.get("quorum_standby")),
        started=datetime.fromisoformat(status["postmaster_start_time"]),
        streams={one["application_name"]: one["sync_state"] for one in status.get("replication") or ()},
    )
