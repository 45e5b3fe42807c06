"""A replica that left the read endpoint stays out, and is let in again only when it has caught up (RW-03)."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import free_port
from patronis import Member, patroni
from servers import postgres

from support.engine.finding import Finding
from support.engine.world import World
from support.errors import Inconclusive, LimitExceeded
from support.expectations import Expectations
from support.failover import routing
from support.failover.checks import caught_up
from support.failover.routing import ReadLag, least_replayed, require_back_in_reads, require_out_of_reads, stuck_replay
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, Topology

LIMIT = 1.0


class Left:
    """The affected member serves reads in these periods, in seconds since its fault, and in no other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, serves: Sequence[tuple[float, float]]) -> None:
        self._begun, self._serves = time.monotonic(), serves
        self.measured, self.told = list[float](), list[str]()
        monkeypatch.setattr(routing, "_look_without_target", self._look)

    def _look(self, _: World) -> Finding:
        now = time.monotonic() - self._begun
        there = any(begun <= now < ended for begun, ended in self._serves)
        return Finding(not there, f"of 1 sessions: 1 on {'pg2' if there else 'pg3'}")

    def judge(self) -> None:
        world = SimpleNamespace(
            experiment=SimpleNamespace(injected_fault=SimpleNamespace(counts_from=self._begun), target_member="pg2"),
            timing=SimpleNamespace(proxy=0.3, loop_wait=0.1),
            measure=lambda name, value, *_: self.measured.append(value),
            evidence=SimpleNamespace(attach=lambda _, words: self.told.append(words)),
        )
        require_out_of_reads(cast(World, world), LIMIT)


def test_a_replica_that_leaves_and_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    left = Left(monkeypatch, [(0, 0.3)])
    left.judge()
    assert (left.measured, left.told) == ([pytest.approx(0.4, abs=0.2)], [])


def test_a_replica_that_leaves_twice_has_left_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    left = Left(monkeypatch, [(0, 0.1), (0.3, 0.7)])
    left.judge()
    assert left.told == ["of 1 sessions: 1 on pg2"]
    assert left.measured == [pytest.approx(0.8, abs=0.2)]


def test_a_replica_that_comes_and_goes_has_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitExceeded, match="the affected member left the read endpoint"):
        Left(monkeypatch, [(at, at + 0.3) for at in (0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4)]).judge()


def test_what_has_caught_up() -> None:
    finding = caught_up("pg2", 4_000_000, 5_048_576, streams=True)
    assert finding == Finding.false(
        "pg2 serves reads again, although it is still 1,048,576 bytes of WAL further behind than is allowed"
    )
    assert caught_up("pg2", 5_048_576, 5_048_576, streams=True).holds is True
    assert caught_up("pg2", None, 5_048_576, streams=True).holds is True
    assert caught_up("pg2", None, None, streams=False).holds is False


@pytest.mark.parametrize(
    ("replication", "right"), [("none", False), ("streaming", True), ("in archive recovery", True)]
)
def test_a_replica_that_serves_reads_before_it_streams(
    replication: str, right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "_look", lambda *_, **__: Counter(["pg2"]))
    monkeypatch.setattr(routing, "status_of", lambda *_: SimpleNamespace(role="replica", replication=replication))
    experiment = SimpleNamespace(target_member="pg2", over_since=time.monotonic())
    cluster = SimpleNamespace(group_with=lambda name: None)
    world = cast(World, SimpleNamespace(experiment=experiment, cluster=cluster, measure=lambda *_: None))
    if right:
        require_back_in_reads(world, LIMIT, streams=True)
        return
    require_back_in_reads(world, LIMIT)  # where no stream was lost, none is asked for
    with pytest.raises(AssertionError, match="although it does not stream") as raised:
        require_back_in_reads(world, LIMIT, streams=True)
    assert not isinstance(raised.value, LimitExceeded), "it is not late"


def test_a_server_that_never_received_wal_need_not_replay_any(tmp_path: Path) -> None:
    with postgres(tmp_path, port := free_port()) as server:
        members = (MemberAddress("pg1", Address("127.0.0.1", port)),)
        login = Login(server.user, server.password)
        cluster = Cluster(Topology(server.database, login, Address("127.0.0.1", port), members=members))
        assert least_replayed(cluster, "pg1", ReadLag(1)) is None


@pytest.mark.parametrize("read_lag", [None, 10 * 2**30])
def test_no_replay_is_stuck_until_a_disk_could_fill(read_lag: int | None) -> None:
    """Patroni may be told to fail over whatever the lag. The fault is refused before anything is suspended."""
    status = {"state": "running", "postmaster_start_time": "2026-11-29 03:43:11+00:00", "xlog": {"location": 1}}
    configuration = {"maximum_lag_on_failover": 10 * 2**30}
    leading = Member("pg1", "leader", "pg1:5432", "pg1:8008", None, extra=status, configuration=configuration)
    at = Address("127.0.0.1", 1)
    with patroni(leading, [leading]) as port:
        members = (MemberAddress("pg1", at, Address("127.0.0.1", port)),)
        expected = Expectations(read_lag=read_lag)
        cluster = Cluster(Topology("app", Login("app", ""), at, members=members, expectations=expected))
        with pytest.raises(Inconclusive, match="20,480 MB behind, and a test writes at most 1,024 MB"):
            stuck_replay(cluster, "pg2")
