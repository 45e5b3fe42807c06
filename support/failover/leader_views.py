"""Who can tell which member leads, each by its own means."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from support.target import dcs
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, NoAnswer, ask_in_parallel, health_checks, server, servers

STRANGER = "a server that is no member"


@dataclass
class LeaderViews:
    """What observers said."""

    seen: dict[str, set[str]] = field(default_factory=dict)
    """Witness -> whom it saw leading."""
    unheard: dict[str, str] = field(default_factory=dict)
    """Witness -> why it did not see everything."""

    def hear(self, observer: str, answers: Mapping[str, set[str] | NoAnswer]) -> None:
        """Take down whom a observer names, by each member that it looked at or asked."""
        said = [answer for answer in answers.values() if not isinstance(answer, NoAnswer)]
        silent = [f"{name} {answer}" for name, answer in answers.items() if isinstance(answer, NoAnswer)]
        self.seen[observer] = set[str]().union(*said)
        if silent:
            self.unheard[observer] = ", ".join(silent)


def leader_views(cluster: Cluster, observers: Iterable[str]) -> LeaderViews:
    """What the observers of those names say now. Raises LookupError for a name that is not in OBSERVERS."""
    taken = LeaderViews()
    for name in observers:
        OBSERVERS[name](cluster, taken)
    return taken


def _patroni_of_every_member(cluster: Cluster, taken: LeaderViews) -> None:
    def leaders(name: str) -> set[str]:
        return {member.name for member in cluster.patroni(name).cluster().members if member.leads}

    for name, answer in ask_in_parallel(cluster.members, leaders).items():
        taken.hear(f"Patroni of {name}", {name: answer})


def _health_check_of_every_member(cluster: Cluster, taken: LeaderViews) -> None:
    answers = health_checks(cluster, ["/primary"])
    taken.hear(
        "the members' health checks",
        {
            name: answer if isinstance(answer, NoAnswer) else {name} if answer["/primary"] == 200 else set()
            for name, answer in answers.items()
        },
    )


def _sql_on_every_member(cluster: Cluster, taken: LeaderViews) -> None:
    answers = servers(cluster)
    taken.hear(
        "SQL on every member",
        {
            name: answer if isinstance(answer, NoAnswer) else set() if answer.in_recovery else {name}
            for name, answer in answers.items()
        },
    )


def _write_endpoint(cluster: Cluster, taken: LeaderViews) -> None:
    observer = "the write endpoint"
    try:
        reached = server(cluster.write)
    except NO_ANSWER as error:
        taken.hear(observer, {"it gave": NoAnswer.because(error)})
    else:
        taken.hear(
            observer, {"": {name for name, answer in servers(cluster).items() if answer == reached} or {STRANGER}}
        )


def _leader_key(cluster: Cluster, taken: LeaderViews) -> None:
    holder = dcs.key(cluster.topology, "leader", cluster.group)
    taken.hear("the leader key in the DCS", {"": {holder} if holder else set()})


OBSERVERS: Mapping[str, Callable[[Cluster, LeaderViews], None]] = {
    "the Patroni of every member": _patroni_of_every_member,
    "the health check of every member": _health_check_of_every_member,
    "SQL on every member": _sql_on_every_member,
    "the write endpoint": _write_endpoint,
    "the leader key in the DCS": _leader_key,
}
