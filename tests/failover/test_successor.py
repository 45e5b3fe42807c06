"""Who may take over on a cluster whose replicas do not all stream from the leader."""

from types import SimpleNamespace
from typing import Any

import pytest

from steps.failover.succession_steps import step_best_leads
from support.errors import Inconclusive
from support.failover import succession
from support.failover.succession import UnequalReplicas, bars_of_others, require_may_lead
from support.faults import network
from support.target.failover_readiness import Terms
from support.target.purposes import Purpose

CASCADING = {
    "pg1": Purpose(leads=True),
    "pg2": Purpose(source="pg1"),
    "pg3": Purpose(source="pg1"),
    "pg4": Purpose(source="pg2"),
    "pg5": Purpose(source="pg1", may_lead=False),
}
UNEQUAL = UnequalReplicas(ahead=("pg2",), behind="pg3")
MEGABYTE = 2**20


def test_every_other_member_that_may_lead_is_barred(monkeypatch: pytest.MonkeyPatch) -> None:
    barred = []
    monkeypatch.setattr(succession, "purposes", lambda cluster: CASCADING)
    monkeypatch.setattr(succession, "Tagged", lambda cluster, name, tags: barred.append((name, tags)))
    cluster: Any = SimpleNamespace()
    bars_of_others(cluster, UNEQUAL)
    assert barred == [("pg2", {"nofailover": True}), ("pg4", {"nofailover": True})]


@pytest.mark.parametrize(("leader", "right"), [("pg2", True), ("pg4", True), ("pg3", False)])
def test_whoever_takes_over_it_is_not_the_replica_that_lacks_wal(
    monkeypatch: pytest.MonkeyPatch, leader: str, right: bool
) -> None:
    monkeypatch.setattr("steps.failover.succession_steps.require_other_leader", lambda world, limit: None)
    world = SimpleNamespace(
        cluster=SimpleNamespace(leader=lambda: leader),
        handover=lambda kind: SimpleNamespace(unequal_replicas=UNEQUAL),
        limit=lambda seconds, name, span: seconds,
    )
    context: Any = SimpleNamespace(world=world)
    if right:
        step_best_leads(context, 30)
        return
    with pytest.raises(AssertionError, match="who took over"):
        step_best_leads(context, 30)


@pytest.mark.parametrize(("lag", "may"), [(50_000, True), (16 * MEGABYTE, False)])
def test_a_replica_that_lacks_too_much_wal_may_not_lead(monkeypatch: pytest.MonkeyPatch, lag: int, may: bool) -> None:
    now = Terms(timeline=1, written=100 * MEGABYTE, allowed_lag=MEGABYTE, synchronous=False)
    monkeypatch.setattr(succession, "terms", lambda cluster: now)
    monkeypatch.setattr(succession, "status_of", lambda cluster, name: SimpleNamespace(wal=now.written - lag))
    cluster: Any = SimpleNamespace(topology=SimpleNamespace(timing=SimpleNamespace(notice=1.0)))
    if may:
        require_may_lead(cluster, UNEQUAL)
        return
    with pytest.raises(Inconclusive, match=r"pg3 lacks 16,777,216 bytes of WAL by now, .* more than 1,048,576"):
        require_may_lead(cluster, UNEQUAL)


@pytest.mark.parametrize(("replica", "source"), [("pg4", "pg2"), ("pg3", "pg1"), ("not known to Patroni", "pg1")])
def test_a_replica_is_cut_from_where_it_streams(monkeypatch: pytest.MonkeyPatch, replica: str, source: str) -> None:
    monkeypatch.setattr(network, "purposes", lambda cluster: CASCADING)
    cluster: Any = SimpleNamespace(site=None, leader=lambda: "pg1")
    cut = network.cut_from_source(cluster, replica)
    assert (list(cut.hosts), list(cut.others)) == ([replica], [source])
