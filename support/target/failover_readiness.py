"""Whether the cluster could survive the loss of its leader, or of the DCS, now: by the rules that Patroni applies.

Source: patroni/ha.py, `is_failover_possible`
"""

from dataclasses import dataclass

from support.target.cluster import Cluster
from support.target.members import MemberStatus, NoAnswer, ask_in_parallel, status_of
from support.target.patroni import MemberView
from support.target.patroni_configuration import await_configuration, configuration_of
from support.target.purposes import FROM_ARCHIVE, STREAMING, never_leads, reads_the_archive


@dataclass(frozen=True)
class Terms:
    """The conditions that a replica must meet to take over."""

    timeline: int
    written: int
    """The end of the leader's WAL, in bytes."""
    allowed_lag: int
    """In bytes of WAL."""
    synchronous: bool
    """Only a synchronous standby may take over, so that no acknowledged write is lost."""

    def obstacles_of(self, member: MemberView | None, answer: MemberStatus | NoAnswer) -> list[str]:
        """Why this replica may not take over now; empty when it may. `member` is None if the DCS does not know it."""
        if isinstance(answer, NoAnswer):
            return [str(answer)]
        if member is None:
            return ["the DCS does not know it"]
        behind = max(0, self.written - answer.wal)
        found = {
            "it is tagged never to lead": never_leads(member.tags),
            "it does not stream": answer.replication != (FROM_ARCHIVE if reads_the_archive(member.tags) else STREAMING),
            "it is not a synchronous standby": self.synchronous and not answer.synchronous,
            f"it is on timeline {answer.timeline}, the leader on {self.timeline}": answer.timeline != self.timeline,
            f"it is {behind} bytes behind, {self.allowed_lag} are allowed": behind > self.allowed_lag,
        }
        return [obstacle for obstacle, there in found.items() if there]


def obstacles(cluster: Cluster) -> dict[str, list[str]]:
    """Replica -> why it may not take over now."""
    needed = terms(cluster)  # first: what is written afterwards must not count as lag
    known = {member.name: member for member in cluster.view().members}
    answers = ask_in_parallel(cluster.followers(), lambda name: status_of(cluster, name))
    return {name: needed.obstacles_of(known.get(name), answer) for name, answer in answers.items()}


def terms(cluster: Cluster) -> Terms:
    """The terms by Patroni's configuration and the leader's position now. Raises NotYet without a leader."""
    configured = configuration_of(cluster)
    leader = status_of(cluster, cluster.leader())
    return Terms(
        timeline=leader.timeline,
        written=leader.wal,
        allowed_lag=configured.maximum_lag,
        synchronous=configured.synchronous,
    )


def require_failsafe_as_declared(cluster: Cluster) -> None:
    """Raises AssertionError where failsafe mode is not as [expect] declares."""
    on, wanted = await_configuration(cluster).failsafe, cluster.topology.expectations.failsafe
    if wanted is not None and on is not wanted:
        raise AssertionError(
            f"failsafe mode was declared {'on' if wanted else 'off'} ([expect] failsafe = {str(wanted).lower()}), and "
            f"Patroni's failsafe_mode is {'on' if on else 'off'}"
        )


def unprepared_for_failsafe(cluster: Cluster) -> dict[str, str]:
    """Member -> why, as the leader, it could not go on without the DCS; empty where every member could."""
    known = ask_in_parallel(cluster.members, lambda name: set(cluster.patroni(name).failsafe()))
    everyone = set(cluster.members)
    return {
        name: str(answer)
        if isinstance(answer, NoAnswer)
        else f"it does not know {', '.join(sorted(everyone - answer))}"
        for name, answer in known.items()
        if isinstance(answer, NoAnswer) or everyone - answer
    }
