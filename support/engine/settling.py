"""Looks at whether the cluster has settled after a fault, so that nobody has to wait until a lock would have expired.

Where that cannot be seen (no etcd is known, a member gives no answer), it has not settled as far as anybody knows.
"""

import time
from collections.abc import Collection
from contextlib import suppress

from support.engine.checks.settled import GroupLook, settled
from support.target import etcd
from support.target.cluster import Cluster
from support.target.leadership import WRITE_ROUTE, routes
from support.target.members import LEADER, NO_ANSWER, REPLICA, MemberStatus, NoAnswer, ask_in_parallel, status_of
from support.target.purposes import FROM_ARCHIVE, STREAMING, reads_the_archive

_EVERY = 0.4  # seconds between two looks at least


class Settling:
    """Follows how a cluster settles after `since`, the moment at which clients were served again."""

    def __init__(self, cluster: Cluster, silent: Collection[str], since: float) -> None:
        """`silent` are the members that the fault keeps from answering: nobody waits for them."""
        self._cluster, self._silent, self._since = cluster, silent, since
        self._earlier: dict[int, GroupLook] = {}
        visible = cluster.topology.dcs and "dcs_keys" not in cluster.topology.lacks
        self._open = list(cluster.groups) if visible else []
        self._visible = bool(self._open)
        self._looked = 0.0
        self._from_archive: dict[int, set[str]] = {}
        self.words = "it is not known whether the cluster has settled"

    def reached(self) -> bool:
        """Whether every group has settled, by now. Looks at the cluster unless it has just done so."""
        if not self._visible or time.monotonic() - self._looked < _EVERY:
            return False
        self._looked = time.monotonic()
        self._open = [group for group in self._open if not self._settled(group)]
        return not self._open

    def _settled(self, group: Cluster) -> bool:
        with suppress(*NO_ANSWER):
            look = self._look(group)
            earlier = self._earlier.get(group.group)
            finding = settled(earlier, look, self._since, group.topology.timing.loop_wait) if earlier else None
            self.words = finding.words if finding else self.words
            if finding is not None and finding.holds:
                return True
            # A look is good enough to be compared with once the lock was renewed after service came back.
            usable = not look.wrong and look.renewed >= self._since
            changed = earlier is not None and (earlier.made, earlier.term) != (look.made, look.term)
            if usable and (earlier is None or changed or earlier.wrong):
                self._earlier[group.group] = look
            return False
        self._earlier.pop(group.group, None)
        return False

    def _look(self, group: Cluster) -> GroupLook:
        lock = etcd.lock(group.topology, group.group)
        asked = [name for name in group.members if name not in self._silent]
        answers = ask_in_parallel(asked, lambda name: status_of(group, name))
        if group.group not in self._from_archive:
            tags = {one.name: one.tags for one in group.view().members}
            self._from_archive[group.group] = {name for name in tags if reads_the_archive(tags[name])}
        leading = answers.get(lock.owner)
        timeline = leading.timeline if isinstance(leading, MemberStatus) else None
        wrong = {
            name: why
            for name, answer in answers.items()
            if (why := _wrong(answer, _wanted(name, lock.owner, self._from_archive[group.group]), timeline))
        }
        if lock.owner not in asked:
            wrong[lock.owner] = "it holds the lock, and cannot lead"
        if group.group == 0 and group.topology.statistics is not None:
            routed = routes(group)[WRITE_ROUTE]
            if routed != (lock.owner,):
                wrong["the proxy"] = f"it routes writes to {' and '.join(routed) or 'nobody'}"
        return GroupLook(time.monotonic(), lock.owner, lock.made, lock.renewed, wrong, lock.term)


def _wanted(member: str, leader: str, from_archive: Collection[str]) -> tuple[str, str]:
    """The role of a member, and the state of its replication, when all is well."""
    if member == leader:
        return LEADER, "none"
    return REPLICA, FROM_ARCHIVE if member in from_archive else STREAMING


def _wrong(answer: MemberStatus | NoAnswer, wanted: tuple[str, str], timeline: int | None) -> str:
    """What is not as it should be with a member; empty if nothing is."""
    if isinstance(answer, NoAnswer):
        return str(answer)
    if (answer.role, answer.replication) != wanted or answer.timeline != timeline:
        return f"a {answer.role}, its replication {answer.replication}, on timeline {answer.timeline} of {timeline}"
    return ""
