"""Who leads, on which timeline, and where clients are led to: what a fault that is borne well leaves as it was.

How long a leader's lock in the DCS lasts unless it is renewed.

Who leads after whom, and who is back in line: what is waited for after a fault.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import requests

from support import sql
from support.errors import ConnectFailed
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.configured import configured
from support.target.member_status import LEADER, REPLICA, member_statuses, status_of
from support.target.members import Silent
from support.waiting import NotYet, eventually


def primaries(cluster: Cluster) -> dict[str, int]:
    """Member -> its timeline, of every member out of recovery; by their own word, so it is known without a DCS."""
    answers = member_statuses(cluster).items()
    return {name: one.timeline for name, one in answers if not isinstance(one, Silent) and one.role == LEADER}


@dataclass(frozen=True)
class Leadership:
    """Who leads a group, and on which timeline."""

    leader: str
    timeline: int

    def followed_by_another(self, now: "Leadership") -> bool:
        """Whether somebody else took over since, be it for a while. A leader that PostgreSQL died on begins a timeline
        too when it goes on in place, with all that it had."""
        return now.leader != self.leader or now.timeline > self.timeline + 1


def leaderships(cluster: Cluster) -> dict[int, Leadership]:
    """Group -> who leads it now. Raises NotYet where nobody does, or the timeline is not known."""
    found = {}
    for group in cluster.groups:
        leading = group.view().leader
        if leading is None or leading.timeline is None:
            raise NotYet(f"group {group.group} has no leader")
        found[group.group] = Leadership(leading.name, leading.timeline)
    return found


def routes(cluster: Cluster) -> dict[str, str]:
    """Member -> the endpoints whose sessions HAProxy sends there now."""
    page = cluster.topology.statistics
    if page is None:
        raise NotYet("no statistics page is known")
    positions = haproxy.positions(page, cluster.members).items()
    return {name: " and ".join(end for end, where in ends.items() if where == "up") for name, ends in positions}


def cluster_state(cluster: Cluster) -> dict[str, object]:
    """What must not flap: the primary with its timeline, and where the endpoints lead."""
    return {"primary": primaries(cluster), "routes": routes(cluster)}


def only_primary(cluster_state: Mapping[str, object]) -> dict[str, object]:
    """That part of it."""
    return {"primary": cluster_state["primary"]}


@dataclass(frozen=True)
class Lease:
    """Seconds, by Patroni's configuration."""

    ttl: float
    """From a renewal until the lock is gone."""
    renewed_every: float

    @property
    def least_left(self) -> float:
        """For how long the lock of a leader that is well lasts at the least, whenever it is cut off."""
        return self.ttl - self.renewed_every

    @property
    def surely_gone(self) -> float:
        """Seconds after which a lock that is not renewed is gone, and everybody has noticed."""
        return self.ttl + self.renewed_every


def lease(cluster: Cluster) -> Lease:
    """The lease as it is configured now."""
    agreed = configured(cluster)
    return Lease(agreed.ttl, agreed.loop_wait)


SILENT = (requests.RequestException, ConnectFailed, sql.Error)


def await_other_leader(cluster: Cluster, former: str, within: float) -> str:
    """Wait until another member holds the leader key and is out of recovery; returns its name."""
    probe = partial(_other_leader, cluster, former)
    return eventually(probe, within=within, subject=f"another member than {former} leads", retry_on=SILENT)


def await_streaming(cluster: Cluster, member: str, within: float) -> float:
    """Wait until a member streams from the leader, on its timeline; returns the seconds that it took."""
    begun = time.monotonic()
    probe = partial(_require_streaming, cluster, member)
    eventually(probe, within=within, subject=f"{member} streams as a replica", retry_on=SILENT)
    return time.monotonic() - begun


def _other_leader(cluster: Cluster, former: str) -> str:
    leader = cluster.leader()
    if leader == former:
        raise NotYet(f"{former} holds the leader key still")
    if sql.value(cluster.of_member(leader), "SELECT pg_is_in_recovery()"):
        raise NotYet(f"{leader} holds the leader key, and is in recovery")
    return leader


def _require_streaming(cluster: Cluster, member: str) -> None:
    # By its own word: what the DCS holds of a member that has just crashed is what it was before.
    mine, leading = status_of(cluster, member), status_of(cluster, cluster.leader())
    if mine.role != REPLICA or mine.replication != "streaming" or mine.timeline != leading.timeline:
        raise NotYet(
            f"{member} is a {mine.role}, {mine.state}, its replication {mine.replication}, on timeline "
            f"{mine.timeline} of {leading.timeline}"
        )
