"""Leadership: which member leads, on which timeline, for how long its lease lasts, and who leads after a fault."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from support import sql
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.members import LEADER, NO_ANSWER, REPLICA, NoAnswer, ask_in_parallel, parsed, status_of
from support.target.patroni_configuration import configuration_of
from support.target.purposes import purposes
from support.waiting import NotYet, eventually


@dataclass(frozen=True)
class Leadership:
    """The leader of a group, and its timeline."""

    leader: str
    timeline: int

    def followed_by_another(self, now: "Leadership") -> bool:
        """Whether another member took over since, even if only for a while.

        A leader whose PostgreSQL crashed and restarted in place begins a new timeline, too, and loses nothing.
        """
        return now.leader != self.leader or now.timeline > self.timeline + 1


def leaderships(cluster: Cluster) -> dict[int, Leadership]:
    """Group -> its leadership now. Raises NotYet where a group has no leader, or its timeline is not known."""
    found = {}
    for group in cluster.groups:
        leading = group.view().leader
        if leading is None or leading.timeline is None:
            raise NotYet(f"group {group.group} has no leader")
        found[group.group] = Leadership(leading.name, leading.timeline)
    return found


# The cluster state, which must not change under a fault that the cluster tolerates

WRITE_ROUTE, READ_ROUTE = "the write route", "the read route"
"""To which members the proxy sends new sessions: aspects of the cluster state, beside the members themselves."""
NOT_PRIMARY = "not the primary"


def cluster_state(cluster: Cluster) -> dict[str, str]:
    """Each member, and each route of the proxy -> its state now. What gives no answer is left out: it tells nothing."""
    return {**member_roles(cluster), **_routes_told(cluster)}


def aspects_of_state(cluster: Cluster) -> frozenset[str]:
    """Everything that a cluster state has when nothing is silent."""
    return frozenset({*cluster.members, WRITE_ROUTE, READ_ROUTE})


def only_members(state: Mapping[str, str]) -> dict[str, str]:
    """The part of the cluster state that is known where no proxy is in between."""
    return {aspect: now for aspect, now in state.items() if aspect not in (WRITE_ROUTE, READ_ROUTE)}


def member_roles(cluster: Cluster) -> dict[str, str]:
    """Member -> "the primary on timeline N" or NOT_PRIMARY, as each says itself, even without a DCS."""
    answers = ask_in_parallel(cluster.members, lambda name: role_told(name, cluster.patroni(name).status()))
    return {name: answer for name, answer in answers.items() if not isinstance(answer, NoAnswer)}


def role_told(name: str, status: Mapping[str, Any]) -> str:
    """The role by a member's answer to /patroni. Raises NotYet where Patroni does not know it.

    A PostgreSQL that Patroni knows to be down is not a primary. While PostgreSQL runs, and only Patroni's own question
    to it got no answer, Patroni calls its state unknown."""
    if "xlog" not in status and status.get("state") not in (None, "unknown", "running"):
        return NOT_PRIMARY
    now = parsed(name, status)
    return f"the primary on timeline {now.timeline}" if now.role == LEADER else NOT_PRIMARY


def routes(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    """WRITE_ROUTE and READ_ROUTE -> the servers that get new sessions now. Raises NotYet if there are no statistics."""
    page = cluster.topology.statistics
    if page is None or "pools" in cluster.topology.lacks:
        raise NotYet(cluster.topology.lacks.get("pools", "no statistics page is known"))
    positions = haproxy.positions(page, cluster.members)
    return {
        route: tuple(sorted(name for name, ends in positions.items() if ends.get(end) == "up"))
        for route, end in ((WRITE_ROUTE, "write"), (READ_ROUTE, "read"))
    }


def _routes_told(cluster: Cluster) -> dict[str, str]:
    with suppress(*NO_ANSWER):
        return {route: " and ".join(servers) or "nowhere" for route, servers in routes(cluster).items()}
    return {}


@dataclass(frozen=True)
class Lease:
    """The lease of the leader key, by Patroni's configuration; in seconds."""

    ttl: float
    """From a renewal until the key expires."""
    renewed_every: float

    @property
    def least_left(self) -> float:
        """The shortest time for which the key of a healthy leader still lasts when the leader is cut off."""
        return self.ttl - self.renewed_every

    @property
    def surely_gone(self) -> float:
        """The time after which a key that is not renewed has expired, and every member has noticed."""
        return self.ttl + self.renewed_every


def lease(cluster: Cluster) -> Lease:
    """The lease as it is configured now."""
    configured = configuration_of(cluster)
    return Lease(configured.ttl, configured.loop_wait)


# Waiting after a fault


def await_other_leader(cluster: Cluster, former: str, within: float, since: float | None = None) -> str:
    """Wait until another member holds the leader key and is out of recovery; returns its name.

    `since`: the monotonic time from which `within` seconds count, instead of now.
    """
    probe, subject = partial(_other_leader, cluster, former), f"a member other than {former} leads"
    return eventually(probe, within=within, subject=subject, retry_on=NO_ANSWER, since=since)


def await_streaming(cluster: Cluster, member: str, within: float, since: float | None = None) -> float:
    """Wait until a member replicates on the leader's timeline; returns the seconds that it took.

    It streams, or reads the archive if that is what it is for. `since`: the monotonic time from which `within` seconds
    count, instead of now.
    """
    begun = time.monotonic() if since is None else since
    probe = partial(_require_streaming, cluster, member)
    eventually(probe, within=within, subject=f"{member} streams as a replica", retry_on=NO_ANSWER, since=begun)
    return time.monotonic() - begun


def _other_leader(cluster: Cluster, former: str) -> str:
    leader = cluster.leader()
    if leader == former:
        raise NotYet(f"{former} still holds the leader key")
    if sql.value(cluster.of_member(leader), "SELECT pg_is_in_recovery()"):
        raise NotYet(f"{leader} holds the leader key, and is in recovery")
    return leader


def _require_streaming(cluster: Cluster, member: str) -> None:
    # The member itself is asked: the DCS still holds the state from before a crash.
    mine, leading = status_of(cluster, member), status_of(cluster, cluster.leader())
    wanted = purposes(cluster)[member].replication
    if mine.role != REPLICA or mine.replication != wanted or mine.timeline != leading.timeline:
        raise NotYet(
            f"{member} is a {mine.role}, {mine.state}, its replication {mine.replication}, on timeline "
            f"{mine.timeline} of {leading.timeline}"
        )
