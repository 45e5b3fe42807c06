"""What each member is for, by its tags and settings: whether it may lead, how it gets its WAL, and when it shows it.

Everything that judges or chooses members asks here, so that all of it goes by the same rules, which are Patroni's.

Sources: patroni/tags.py, patroni/ha.py (`_get_node_to_follow`), patroni/postgresql/sync.py (`_ReplicaList`)
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from support.target.cluster import Cluster
from support.target.patroni import ClusterView, MemberView
from support.waiting import NotYet

STREAMING, FROM_ARCHIVE = "streaming", "in archive recovery"
"""The state of a replica's replication, in Patroni's words."""
_ON = ("on", "true", "yes", "1")
_WHOLE = re.compile(r"\s*[+-]?\d+\s*")


def never_leads(tags: Mapping[str, Any]) -> bool:
    """Whether a member's tags bar it from leading."""
    return _barred(tags, "nofailover", "failover_priority")


def never_synchronous(tags: Mapping[str, Any]) -> bool:
    """Whether a member's tags bar it from being a synchronous standby."""
    return _barred(tags, "nosync", "sync_priority")


def kept_from_reads(tags: Mapping[str, Any]) -> bool:
    """Whether a member's tags exclude it from serving reads."""
    return bool(tags.get("noloadbalance"))


def reads_the_archive(tags: Mapping[str, Any]) -> bool:
    """Whether a member streams from nobody, by its tags."""
    return str(tags.get("nostream")).lower() in _ON


def _barred(tags: Mapping[str, Any], flag: str, priority: str) -> bool:
    """By the flag; if it is not there, by the priority."""
    if (barred := tags.get(flag)) is not None:
        return bool(barred)
    given = str(tags.get(priority))
    return bool(_WHOLE.fullmatch(given)) and int(given) <= 0


@dataclass(frozen=True)
class Purpose:
    """What one member is for. The defaults are those of a replica without tags."""

    leads: bool = False
    may_lead: bool = True
    serves_reads: bool = True
    """Its tags do not exclude it from serving reads."""
    source: str = ""
    """The member from which it is meant to stream; empty for the leader, and for a replica that reads the archive."""
    archive: bool = False
    """The member streams from nobody, but reads the archive."""
    behind_archive: str = ""
    """The member upstream of it that reads the archive, if there is one."""
    may_be_synchronous: bool = True
    """The member streams from the leader, and no tag bars it from being a synchronous standby."""
    delay: str = ""
    """By how long it replays late on purpose (recovery_min_apply_delay), such as "1h"."""

    @property
    def replication(self) -> str:
        """The state of its replication when all is well, in Patroni's words; "none" for the leader."""
        return "none" if self.leads else FROM_ARCHIVE if self.archive else STREAMING

    @property
    def receives_at_once(self) -> bool:
        """The member has what is written on the leader a moment later."""
        return self.leads or not (self.archive or self.behind_archive)

    @property
    def shows_at_once(self) -> bool:
        """Its readers see what is committed on the leader a moment later."""
        return self.leads or (self.receives_at_once and not self.delay)

    @property
    def serves_at_once(self) -> bool:
        """A replica that may serve reads, and whose readers see at once what is committed."""
        return not self.leads and self.serves_reads and self.shows_at_once

    @property
    def ordinary(self) -> bool:
        """A replica that does all that a replica can do."""
        return self.may_lead and self.serves_reads and self.shows_at_once and self.may_be_synchronous


def upstreams(leader: str, members: Iterable[MemberView]) -> dict[str, str]:
    """Replica -> the member from which it is configured to stream: the leader, unless its tags name another one.

    A replica that does not stream by configuration (nostream) is left out.
    """
    known = {one.name: one for one in members}
    return {
        name: source if (source := str(one.tags.get("replicatefrom") or "")) in known and source != name else leader
        for name, one in known.items()
        if name != leader and not reads_the_archive(one.tags)
    }


def purposes_of(leader: str, members: Collection[MemberView], delays: Mapping[str, str]) -> dict[str, Purpose]:
    """Member -> its purpose, with that leader; `delays` is member -> by how long it replays late, where it does."""
    sources = upstreams(leader, members)
    found = {}
    for one in members:
        leads, source = one.name == leader, sources.get(one.name, "")
        archive = not leads and reads_the_archive(one.tags)
        found[one.name] = Purpose(
            leads=leads,
            may_lead=not never_leads(one.tags),
            serves_reads=not kept_from_reads(one.tags),
            source=source,
            archive=archive,
            behind_archive="" if leads or archive else _without_stream(one.name, leader, sources),
            may_be_synchronous=not leads and source == leader and not never_synchronous(one.tags),
            delay="" if leads else delays.get(one.name, ""),
        )
    return found


def _without_stream(name: str, leader: str, sources: Mapping[str, str]) -> str:
    """The first member upstream that does not stream; empty if the chain ends at the leader."""
    passed = {name}
    while (name := sources.get(name, "")) != leader:
        if name not in sources or name in passed:
            return name
        passed.add(name)
    return ""


def purposes(cluster: Cluster, view: ClusterView | None = None) -> dict[str, Purpose]:
    """Each member of the group, and each other one that Patroni knows now -> its purpose.

    Where no Patroni is known, nothing is known of tags. Raises NotYet if no member's Patroni answers, or without a
    leader.
    """
    delays = cluster.topology.delays
    if not cluster.has_patroni:
        return {name: Purpose(delay=delays.get(name, "")) for name in cluster.members}
    view = view or cluster.view()
    if view.leader is None:
        raise NotYet(f"group {cluster.group} has no leader")
    unknown = {name: Purpose(source=view.leader.name, delay=delays.get(name, "")) for name in cluster.members}
    return {**unknown, **purposes_of(view.leader.name, view.members, delays)}


def purposes_by_leader(cluster: Cluster) -> tuple[dict[str, Purpose], ...]:
    """What each member is for with each leader that there can be, the present one first.

    A member may stream from the leader, show at once what is committed, or be a synchronous standby only while another
    one leads. Raises NotYet without a leader.
    """
    view = cluster.view()
    now = purposes(cluster, view)
    others = [one.name for one in view.replicas if not never_leads(one.tags)]
    return (now, *({**now, **purposes_of(name, view.members, cluster.topology.delays)} for name in others))


def candidates(known: Mapping[str, Purpose]) -> tuple[str, ...]:
    """The replicas that may lead and stream from the leader: from each alone, what the leader writes can be kept."""
    leader = next((name for name, one in known.items() if one.leads), None)
    return tuple(sorted(name for name, one in known.items() if one.may_lead and one.source == leader))


def sources(known: Mapping[str, Purpose]) -> frozenset[str]:
    """The members from which others are meant to stream."""
    return frozenset(one.source for one in known.values() if one.source)


def direct_ends(known: Mapping[str, Purpose]) -> tuple[str, ...]:
    """The replicas that stream from the leader, and from which no other member does."""
    leaders = {name for name, one in known.items() if one.leads}
    return tuple(sorted(name for name, one in known.items() if one.source in leaders and name not in sources(known)))


def prompt_replicas(cluster: Cluster) -> tuple[str, ...]:
    """The replicas whose readers are meant to see at once what is committed, up or down.

    What is claimed of "every replica" as a place to read from is claimed of these. Raises NotYet without a leader.
    """
    known = purposes(cluster)
    return tuple(name for name in cluster.followers() if known[name].shows_at_once)


def prompt_members(cluster: Cluster) -> tuple[str, ...]:
    """The members whose readers are meant to see at once what is committed: the leader, and the replicas that do."""
    known = purposes(cluster)
    return tuple(name for name in cluster.members if known[name].shows_at_once)
