"""Finds the target of a fault: the member that has a role at the moment, and its host."""

import re
from collections.abc import Sequence

from support.errors import Inconclusive, NotAvailable
from support.hosts import Host
from support.hosts.interface import SiteHost
from support.target import haproxy
from support.target.cluster import Cluster
from support.target.members import replica_states
from support.target.patroni_configuration import configuration_of
from support.target.purposes import purposes_of, sources
from support.vocabulary import Kind

ROLE = Kind(
    "role of a member",
    (
        "the leader",
        "a replica",
        "a replica that may lead",
        "the synchronous standby",
        "a replica that serves reads",
    ),
    more=r"(?:the leader|a replica|a replica that may lead|the synchronous standby) of worker group \d+",
    shown=("the leader of worker group 1",),
)
"""The roles by which scenarios refer to a member; see `member_by_role`."""
SYNCHRONOUS = frozenset({"sync_standby", "quorum_standby"})
_OF_WORKERS = re.compile(r"(?P<role>.+) of worker group (?P<number>\d+)")


def member_by_role(cluster: Cluster, role: str) -> str:
    """The member that has the role now: a key of `having`, or one like "the leader of worker group 1" (the first one).

    Raises Inconclusive if no member has it, LookupError if there is no such role or group.
    """
    if of_workers := _OF_WORKERS.fullmatch(role):
        cluster, role = cluster.worker_group(int(of_workers["number"])), of_workers["role"]
    view = cluster.view()
    known = purposes_of(view.leader.name if view.leader else "", view.members, cluster.topology.delays)
    # First those that do all that a replica can do: a fault of one that serves nobody would show nothing. Of these,
    # first those from which no other member streams: it would be hit as well.
    followed = sources(known)
    replicas = sorted(
        view.replicas,
        key=lambda one: (not known[one.name].ordinary, not known[one.name].shows_at_once, one.name in followed),
    )
    synchronous = [one.name for one in replicas if one.role in SYNCHRONOUS]
    states = replica_states(cluster) if role == "a replica that may lead" and not synchronous else {}
    able = [one.name for one in replicas if states.get(one.name) == "streaming" and known[one.name].may_lead]
    having = {
        "the leader": [one.name for one in view.members if one.leads],
        "a replica": [one.name for one in replicas],
        "a replica that may lead": synchronous or able,
        "the synchronous standby": synchronous,
        "a replica that serves reads": [],
    }
    if role == "a replica that serves reads":
        # First those that no commit waits for: writes go on while one of them is out.
        serving = [one for one in replicas if known[one.name].serves_at_once]
        having[role] = _in_proxy(
            cluster, [one.name for one in sorted(serving, key=lambda one: one.role in SYNCHRONOUS)]
        )
    if role == "a replica that may lead" and not synchronous and configuration_of(cluster).synchronous:
        having[role] = []  # with synchronous replication only a standby may lead, even while none is chosen yet
    if role not in having:
        raise LookupError(f"there is no role {role!r}; choose one of {', '.join(having)}")
    if not having[role]:
        raise Inconclusive(f"no member is {role} now")
    return having[role][0]


def _in_proxy(cluster: Cluster, names: Sequence[str]) -> list[str]:
    """The members to which the proxy sends readers; all of them if its statistics do not tell."""
    known = haproxy.read_servers(cluster.topology)
    return [name for name in names if not known or (name in known and known[name].position == "up")]


def host_of(cluster: Cluster, role: str) -> SiteHost:
    """The host of the member that has the role now."""
    return cluster.site.hosts[member_by_role(cluster, role)]


def in_sandbox(host: SiteHost) -> Host:
    """The host as one of our own sandbox, which can do more. Raises NotAvailable if it is a user's."""
    if not isinstance(host, Host):
        raise NotAvailable(f"{host.name} is not in a sandbox of the suite's own")
    return host
