"""The health checks of every member, which proxies and operators rely on, and the true role of each member."""

from collections.abc import Mapping

from support.target import haproxy
from support.target.cluster import Cluster
from support.target.members import (
    A_REPLICA,
    THE_LEADER,
    NoAnswer,
    Server,
    health_checks,
    member_statuses,
    servers,
)
from support.target.patroni_configuration import configuration_of
from support.target.purposes import Purpose, prompt_members, purposes
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
"""What a member can be asked -> the health check of Patroni's REST API that answers it."""

WELL: Mapping[str, str] = {"PostgreSQL": "answers", "Patroni": "alive"}
"""The vital signs of a member that runs well."""

TRUE_ROLES = ("leader", "synchronous standby", "quorum standby", "asynchronous replica", "excluded replica")
"""What `kinds` finds a member to be."""
ROUTING_ROLES = (THE_LEADER, "a leader that serves reads", A_REPLICA, "a late replica", "an excluded replica")
"""What `routing_roles` finds a member to be."""
_KINDS_OF_STANDBY = {"sync": "synchronous standby", "quorum": "quorum standby"}
_ANSWERS = {200: "yes", 503: "no"}


def kinds(cluster: Cluster) -> dict[str, str]:
    """Member -> its true role, by its own SQL, its tags, and how the primary waits for it.

    Raises NotYet if a member gives no answer.
    """
    known, waits = purposes(cluster), _waits(cluster)
    return {name: _kind(name, answer, known[name], waits.get(name, "")) for name, answer in servers(cluster).items()}


def _kind(name: str, answer: Server | NoAnswer, purpose: Purpose, wait: str) -> str:
    if isinstance(answer, NoAnswer):
        raise NotYet(f"{name}: {answer}")
    if not answer.in_recovery:
        return "leader"
    return _KINDS_OF_STANDBY.get(wait, "asynchronous replica") if purpose.serves_reads else "excluded replica"


def _waits(cluster: Cluster) -> dict[str, str]:
    """Replica -> how commits wait for it (sync, quorum, ...), as reported by the member from which it streams.

    Empty if Patroni's synchronous mode is off: PostgreSQL may still make commits wait, but Patroni is not aware of
    that, and treats such a standby as an ordinary replica.
    """
    if not configuration_of(cluster).synchronous:
        return {}
    heard = (answer for answer in member_statuses(cluster).values() if not isinstance(answer, NoAnswer))
    return {replica: wait for answer in heard for replica, wait in answer.streams.items()}


def routing_roles(cluster: Cluster) -> dict[str, str]:
    """Member -> its role for the proxy, one of ROUTING_ROLES, by the leader key, its tags and its settings."""
    known, apart = purposes(cluster), "reads_apart" not in cluster.topology.lacks
    leading = THE_LEADER if apart else "a leader that serves reads"
    return {name: leading if known[name].leads else _routing_role(known[name]) for name in cluster.members}


def _routing_role(purpose: Purpose) -> str:
    if not purpose.serves_reads:
        return "an excluded replica"
    return A_REPLICA if purpose.shows_at_once else "a late replica"


def serving_replicas(cluster: Cluster) -> list[str]:
    """The replicas that are healthy and may serve reads, by their own health check.

    Whether those that replay late on purpose, or read the archive, should serve reads is up to the proxy: a check that
    allows no such lag keeps them out.
    """
    prompt = prompt_members(cluster)
    return [
        name
        for name, answer in health_checks(cluster, ["/replica"]).items()
        if not isinstance(answer, NoAnswer) and answer["/replica"] == 200 and name in prompt
    ]


def serving_through_proxy(cluster: Cluster) -> tuple[list[str], dict[str, haproxy.ReadServer], set[str]]:
    """The replicas that should serve reads through the proxy; the proxy's state of each member; its unknown servers.

    An unknown server is one that is not known to be a member. If there is none, members that never lead and that the
    proxy does not list are taken to be left out on purpose, as are its backup servers.
    """
    held, known = haproxy.read_servers(cluster.topology), purposes(cluster)
    strange = held.keys() - {member.name for member in (*cluster.topology.members, *cluster.topology.absent)}
    told = {name: server for name, server in held.items() if name not in strange}
    reserve = {name for name, server in told.items() if server.position == haproxy.RESERVE}
    serving = [name for name in serving_replicas(cluster) if name not in reserve]
    return [name for name in serving if not held or strange or name in told or known[name].may_lead], told, strange


def answers(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Member -> health check -> its answer: "yes", "no", or the HTTP status if it is neither."""
    return {
        name: status.row
        if isinstance(status, NoAnswer)
        else {question: _ANSWERS.get(status[path], str(status[path])) for question, path in CHECKS.items()}
        for name, status in health_checks(cluster, CHECKS.values()).items()
    }


def vital_signs(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Member -> its parts -> their state: as in WELL, or what is wrong."""
    databases, heartbeats = servers(cluster), health_checks(cluster, ["/liveness"])
    return {
        name: {"PostgreSQL": _database(databases[name]), "Patroni": _heartbeat(heartbeats[name])} for name in databases
    }


def _database(answer: Server | NoAnswer) -> str:
    return str(answer) if isinstance(answer, NoAnswer) else "answers"


def _heartbeat(answer: Mapping[str, int] | NoAnswer) -> str:
    if isinstance(answer, NoAnswer):
        return str(answer)
    return "alive" if answer["/liveness"] == 200 else "without a heartbeat"
