"""Who can tell which member leads, each by its own means."""

from collections.abc import Callable, Iterable, Mapping

from support.checkers.election import Testimony
from support.cluster import etcd
from support.cluster.cluster import Cluster
from support.cluster.rollcall import SILENCE, Server, Silent, ask_each, health_checks, server, servers
from support.waiting import describe

STRANGER = "a server that is no member"


def testimonies(cluster: Cluster, witnesses: Iterable[str]) -> list[Testimony]:
    """What the witnesses of those names say now. Raises LookupError for a name that is not in WITNESSES."""
    return [testimony for name in witnesses for testimony in WITNESSES[name](cluster)]


def _every_patroni(cluster: Cluster) -> list[Testimony]:
    views = ask_each(cluster.members, lambda name: cluster.patroni(name).cluster())
    return [
        Testimony(f"Patroni of {name}", frozenset(), str(view))
        if isinstance(view, Silent)
        else Testimony(f"Patroni of {name}", frozenset(member.name for member in view.members if member.leads))
        for name, view in views.items()
    ]


def _health_checks(cluster: Cluster) -> list[Testimony]:
    answers = health_checks(cluster, ["/primary"])
    leading = {name: answer["/primary"] == 200 for name, answer in answers.items() if not isinstance(answer, Silent)}
    return [_taken_together("the members' health checks", leading, answers)]


def _sql_on_every_member(cluster: Cluster) -> list[Testimony]:
    answers = servers(cluster)
    leading = {name: not answer.in_recovery for name, answer in answers.items() if isinstance(answer, Server)}
    return [_taken_together("SQL on every member", leading, answers)]


def _write_endpoint(cluster: Cluster) -> list[Testimony]:
    name = "the write endpoint"
    try:
        reached = server(cluster.write)
    except SILENCE as error:
        return [Testimony(name, frozenset(), str(Silent(describe(error))))]
    members = {one for one, answer in servers(cluster).items() if answer == reached}
    return [Testimony(name, frozenset(members or {STRANGER}))]


def _dcs(cluster: Cluster) -> list[Testimony]:
    holder = etcd.key(cluster.topology, "leader")
    return [Testimony("the leader key in the DCS", frozenset({holder} if holder else ()))]


def _taken_together(witness: str, leading: Mapping[str, bool], answers: Mapping[str, object]) -> Testimony:
    unheard = "; ".join(f"{name}: {answer}" for name, answer in answers.items() if isinstance(answer, Silent))
    return Testimony(witness, frozenset(name for name, leads in leading.items() if leads), unheard)


WITNESSES: Mapping[str, Callable[[Cluster], list[Testimony]]] = {
    "the Patroni of every member": _every_patroni,
    "the health check of every member": _health_checks,
    "SQL on every member": _sql_on_every_member,
    "the write endpoint": _write_endpoint,
    "the leader key in the DCS": _dcs,
}
