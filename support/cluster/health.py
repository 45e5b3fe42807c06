"""The health checks by which proxies and operators ask a member what it is, and what it truly is."""

from collections.abc import Mapping

from support.cluster.cluster import Cluster
from support.cluster.rollcall import Silent, health_checks, servers
from support.cluster.standing import standings
from support.waiting import NotYet

CHECKS: Mapping[str, str] = {
    "the primary": "/primary",
    "the holder of the leader lock": "/leader",
    "a replica": "/replica",
    "able to serve reads": "/read-only",
    "a synchronous standby": "/synchronous",
    "a quorum standby": "/quorum",
    "an asynchronous replica": "/asynchronous",
    "healthy": "/health",
    "alive": "/liveness",
}
"""What a member can be asked whether it is -> the check that asks it."""

_KINDS_OF_STANDBY = {"sync": "synchronous standby", "quorum": "quorum standby"}
_ANSWERS = {200: "yes", 503: "no"}


def kinds(cluster: Cluster) -> dict[str, str]:
    """Member -> what it truly is: by its own SQL, its tags, and by how the primary's SQL says that it is waited for.

    Raises NotYet when a member gives no answer.
    """
    excluded = {member.name for member in cluster.view().members if member.tags.get("noloadbalance")}
    waited = {
        replica: how
        for answer in standings(cluster).values()
        if not isinstance(answer, Silent)
        for replica, how in answer.streams.items()
    }
    found = {}
    for name, answer in servers(cluster).items():
        if isinstance(answer, Silent):
            raise NotYet(f"{name}: {answer}")
        standby = _KINDS_OF_STANDBY.get(waited.get(name, ""), "asynchronous replica")
        found[name] = "leader" if not answer.in_recovery else "excluded replica" if name in excluded else standby
    return found


def answers(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Member -> what it is asked -> its answer: "yes", "no", or the HTTP status if that is neither."""
    return {
        name: {question: str(status) for question in CHECKS}
        if isinstance(status, Silent)
        else {question: _ANSWERS.get(status[path], str(status[path])) for question, path in CHECKS.items()}
        for name, status in health_checks(cluster, CHECKS.values()).items()
    }
