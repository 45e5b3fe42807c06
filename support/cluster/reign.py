"""Who leads, on which timeline, and where clients are led to: what a fault that is borne well leaves as it was."""

from collections.abc import Mapping
from dataclasses import dataclass

from support.cluster import haproxy
from support.cluster.cluster import Cluster
from support.cluster.rollcall import Silent
from support.cluster.standing import LEADER, standings
from support.waiting import NotYet


def primaries(cluster: Cluster) -> dict[str, int]:
    """Member -> its timeline, of every member out of recovery; by their own word, so it is known without a DCS."""
    answers = standings(cluster).items()
    return {name: one.timeline for name, one in answers if not isinstance(one, Silent) and one.role == LEADER}


@dataclass(frozen=True)
class Reign:
    """Who leads a group, and on which timeline."""

    leader: str
    timeline: int

    def followed_by_another(self, now: "Reign") -> bool:
        """Whether somebody else took over since, be it for a while. A leader that PostgreSQL died on begins a timeline
        too when it goes on in place, with all that it had."""
        return now.leader != self.leader or now.timeline > self.timeline + 1


def reigns(cluster: Cluster) -> dict[int, Reign]:
    """Group -> who leads it now. Raises NotYet where nobody does, or the timeline is not known."""
    found = {}
    for group in cluster.groups:
        leading = group.view().leader
        if leading is None or leading.timeline is None:
            raise NotYet(f"group {group.group} has no leader")
        found[group.group] = Reign(leading.name, leading.timeline)
    return found


def routes(cluster: Cluster) -> dict[str, str]:
    """Member -> the endpoints whose sessions HAProxy sends there now."""
    page = cluster.topology.statistics
    if page is None:
        raise NotYet("no statistics page is known")
    positions = haproxy.positions(page, cluster.members).items()
    return {name: " and ".join(end for end, where in ends.items() if where == "up") for name, ends in positions}


def affairs(cluster: Cluster) -> dict[str, object]:
    """What must not flap: the primary with its timeline, and where the endpoints lead."""
    return {"primary": primaries(cluster), "routes": routes(cluster)}


def only_primary(affairs: Mapping[str, object]) -> dict[str, object]:
    """That part of it."""
    return {"primary": affairs["primary"]}
