"""Which replica could lead if the leader died now, by the rules that Patroni applies.

Source: patroni/ha.py, `is_failover_possible`
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from support.target.cluster import Cluster
from support.target.configured import await_configured, configured
from support.target.member_status import MemberStatus, status_of
from support.target.members import Silent, ask_each
from support.target.patroni import MemberView


@dataclass(frozen=True)
class Terms:
    """What is asked of a replica before it may take over."""

    timeline: int
    written: int
    """Up to where the leader has the WAL, in bytes."""
    allowed_lag: int
    """In bytes of WAL."""
    synchronous: bool
    """Only a synchronous standby may, so that no acknowledged write is lost."""

    def obstacles_of(self, member: MemberView | None, answer: MemberStatus | Silent) -> list[str]:
        """Why this replica may not take over now; empty when it may. `member` is None where the DCS has none such."""
        if isinstance(answer, Silent):
            return [str(answer)]
        if member is None:
            return ["the DCS does not know it"]
        behind = max(0, self.written - answer.wal)
        found = {
            "it is tagged never to lead": never_leads(member.tags),
            "it does not stream": answer.replication != "streaming",
            "it is not a synchronous standby": self.synchronous and not answer.synchronous,
            f"it is on timeline {answer.timeline}, the leader on {self.timeline}": answer.timeline != self.timeline,
            f"it is {behind} bytes behind, {self.allowed_lag} are allowed": behind > self.allowed_lag,
        }
        return [obstacle for obstacle, there in found.items() if there]


def obstacles(cluster: Cluster) -> dict[str, list[str]]:
    """Replica -> why it may not take over now."""
    asked = terms(cluster)  # first: what is written afterwards must not count as lag
    known = {member.name: member for member in cluster.view().members}
    answers = ask_each(cluster.followers(), lambda name: status_of(cluster, name))
    return {name: asked.obstacles_of(known.get(name), answer) for name, answer in answers.items()}


def terms(cluster: Cluster) -> Terms:
    """What Patroni's configuration, and how far the leader is, ask of a replica. Raises NotYet without a leader."""
    agreed = configured(cluster)
    now = status_of(cluster, cluster.leader())
    return Terms(
        timeline=now.timeline,
        written=now.wal,
        allowed_lag=agreed.maximum_lag,
        synchronous=agreed.synchronous,
    )


def require_failsafe_as_declared(cluster: Cluster) -> None:
    """Raises AssertionError where failsafe mode is not as [expect] declares."""
    on, wanted = await_configured(cluster).failsafe, cluster.topology.expectations.failsafe
    if wanted is not None and on is not wanted:
        raise AssertionError(
            f"failsafe mode was declared {'on' if wanted else 'off'} ([expect] failsafe = {str(wanted).lower()}), and "
            f"Patroni's failsafe_mode is {'on' if on else 'off'}"
        )


def unprepared_for_failsafe(cluster: Cluster) -> dict[str, str]:
    """Member -> why no leader could go on there if the DCS were out of reach; empty where each of them could."""
    known = ask_each(cluster.members, lambda name: set(cluster.patroni(name).failsafe()))
    everyone = set(cluster.members)
    return {
        name: str(answer) if isinstance(answer, Silent) else f"it does not know {', '.join(sorted(everyone - answer))}"
        for name, answer in known.items()
        if isinstance(answer, Silent) or everyone - answer
    }


def never_leads(tags: Mapping[str, Any]) -> bool:
    """Whether a member's tags bar it from leading."""
    return bool(tags.get("nofailover", False)) or int(tags.get("failover_priority", 1)) <= 0
