"""Which member leads, as each observer sees it: Patroni, the health checks, SQL, the proxy, the DCS."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from support.target import dcs
from support.target.cluster import Cluster
from support.target.members import NO_ANSWER, NoAnswer, ask_in_parallel, health_checks, server, servers

NO_MEMBER = "a server that is not a member"


@dataclass
class LeaderViews:
    """Whom the observers saw leading."""

    seen: dict[str, set[str]] = field(default_factory=dict)
    """Observer -> the members that it saw leading."""
    unheard: dict[str, str] = field(default_factory=dict)
    """Observer -> why it did not see every member."""

    def record(self, observer: str, answers: Mapping[str, set[str] | NoAnswer]) -> None:
        """Record whom an observer names; `answers` is what it learned from each member that it asked."""
        said = [answer for answer in answers.values() if not isinstance(answer, NoAnswer)]
        silent = [f"{name} {answer}" for name, answer in answers.items() if isinstance(answer, NoAnswer)]
        self.seen[observer] = set[str]().union(*said)
        if silent:
            self.unheard[observer] = ", ".join(silent)


def leader_views(cluster: Cluster, observers: Iterable[str]) -> LeaderViews:
    """What these observers see now. Raises LookupError for a name that is not in OBSERVERS."""
    views = LeaderViews()
    for name in observers:
        OBSERVERS[name](cluster, views)
    return views


def _patroni_of_every_member(cluster: Cluster, views: LeaderViews) -> None:
    def leaders(name: str) -> set[str]:
        return {member.name for member in cluster.patroni(name).cluster().members if member.leads}

    for name, answer in ask_in_parallel(cluster.members, leaders).items():
        views.record(f"Patroni of {name}", {name: answer})


def _health_check_of_every_member(cluster: Cluster, views: LeaderViews) -> None:
    answers = health_checks(cluster, ["/primary"])
    views.record(
        "the members' health checks",
        {
            name: answer if isinstance(answer, NoAnswer) else {name} if answer["/primary"] == 200 else set()
            for name, answer in answers.items()
        },
    )


def _sql_on_every_member(cluster: Cluster, views: LeaderViews) -> None:
    answers = servers(cluster)
    views.record(
        "SQL on every member",
        {
            name: answer if isinstance(answer, NoAnswer) else set() if answer.in_recovery else {name}
            for name, answer in answers.items()
        },
    )


def _write_endpoint(cluster: Cluster, views: LeaderViews) -> None:
    observer = "the write endpoint"
    try:
        reached = server(cluster.write)
    except NO_ANSWER as error:
        views.record(observer, {"it gave": NoAnswer.because(error)})
    else:
        answers = servers(cluster)
        led = {name for name, answer in answers.items() if answer == reached}
        silent = {name: answer for name, answer in answers.items() if isinstance(answer, NoAnswer)}
        if silent and not led:  # it may have reached any of them
            views.record(observer, silent)
        else:
            views.record(observer, {"": led or {NO_MEMBER}})


def _leader_key(cluster: Cluster, views: LeaderViews) -> None:
    holder = dcs.state(cluster.topology, cluster.group).leader
    views.record("the leader key in the DCS", {"": {holder} if holder else set()})


OBSERVERS: Mapping[str, Callable[[Cluster, LeaderViews], None]] = {
    "the Patroni of every member": _patroni_of_every_member,
    "the health check of every member": _health_check_of_every_member,
    "SQL on every member": _sql_on_every_member,
    "the write endpoint": _write_endpoint,
    "the leader key in the DCS": _leader_key,
}
