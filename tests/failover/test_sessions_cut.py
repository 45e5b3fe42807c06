"""Closings of idle sessions are noted from before the fault, whatever the suite does meanwhile."""

import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import free_port
from servers import BINDIR, postgres

from support import sql
from support.engine.finding import Finding
from support.engine.world import World
from support.errors import Inconclusive, LimitExceeded, NotInTime
from support.expectations import Expectations
from support.failover import routing
from support.failover.checks import sessions_closed_in_time
from support.failover.routing import (
    ClosingWatch,
    ReadLag,
    allowed_read_lag,
    require_sessions_cut,
    require_some_on,
    watch_by_member,
)
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology
from support.waiting import pause

_END = "SELECT pg_terminate_backend(%s)"


def test_a_session_that_is_closed_while_nobody_waits_for_it_is_noted(tmp_path: Path) -> None:
    with postgres(tmp_path, free_port(), BINDIR) as server:
        sessions = [sql.connect(server, autocommit=True) for _ in range(3)]
        pids = [int(sql.value(one, "SELECT pg_backend_pid()")) for one in sessions]
        with ClosingWatch(sessions) as watch:
            sql.rows(server, _END, [pids[0]])
            pause(0.3)
            begun = time.monotonic()
            sql.rows(server, _END, [pids[1]])
            pause(1)  # such as a switchover that is over only when sessions are
            ended = [when - begun for when in watch.closings(until=time.monotonic())]
            assert ended[0] < 0 < ended[1] < 0.9
            assert sessions_closed_in_time(3, ended, 8).holds is None
            sql.rows(server, _END, [pids[2]])
            assert len(watch.closings(until=begun + 10)) == 3
            assert time.monotonic() - begun < 5
        for one in sessions:
            one.close()


@pytest.mark.parametrize(("closed", "until"), [((5.0, 19.0), 19.0), ((5.0,), None)], ids=["late", "hanging"])
def test_their_limit_counts_from_the_fault_to_the_last_session(closed: Sequence[float], until: float | None) -> None:
    """The sessions were closed so many seconds after the fault, 30 s ago; one that hangs was waited for until now."""
    begun = time.monotonic() - 30
    experiment = SimpleNamespace(injected_fault=SimpleNamespace(begun=begun), planned=False)
    world = SimpleNamespace(experiment=experiment, timing=SimpleNamespace(notice=1.0), measure=lambda *_: None)
    watch = SimpleNamespace(count=2, closings=lambda until: [begun + one for one in closed])
    with pytest.raises(LimitExceeded) as raised:
        require_sessions_cut(cast(World, world), cast(ClosingWatch, watch), limit=8)
    ((since, last),) = raised.value.facts.during
    assert since == begun
    assert last - begun == pytest.approx(until or 30, abs=3)
    assert raised.value.facts.limit == 8


def test_the_sessions_on_one_member_are_judged_without_those_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three sessions through the read endpoint, two are on the replica that fails; the third lives on."""
    pairs = [socket.socketpair() for _ in range(3)]
    monkeypatch.setattr(routing, "members", lambda *_: ["pg2", "pg3", "pg2"])
    with ExitStack() as cleanup:
        for ours, servers in pairs:
            cleanup.enter_context(ours)
            cleanup.enter_context(servers)
        measured = list[float]()
        world = SimpleNamespace(
            cluster=None,
            cleanup=cleanup,
            sessions=[ours for ours, _ in pairs],
            experiment=SimpleNamespace(injected_fault=SimpleNamespace(begun=time.monotonic()), planned=False),
            timing=SimpleNamespace(notice=1.0),
            measure=lambda name, value, *_: measured.append(value),
        )
        watches = watch_by_member(cast(World, world))
        assert {name: one.count for name, one in watches.items()} == {"pg2": 2, "pg3": 1}
        for of_replica in (0, 2):
            pairs[of_replica][1].close()
        require_sessions_cut(cast(World, world), watches["pg2"], limit=3)
        assert measured == [pytest.approx(0, abs=2)]
        with pytest.raises(LimitExceeded, match="1 of 1 sessions were left hanging"):
            require_sessions_cut(cast(World, world), watches["pg3"], limit=0)


def test_a_member_without_any_of_the_sessions_shows_nothing() -> None:
    watches = {name: ClosingWatch([]) for name in ("pg3", "pg4")}
    require_some_on("pg3", watches)
    with pytest.raises(Inconclusive, match=r"pg2 has none of the sessions .*, which are on pg3 and pg4"):
        require_some_on("pg2", watches)


def test_the_lag_that_is_declared_for_reads_is_not_that_of_a_failover() -> None:
    at = Address("127.0.0.1", 1)
    declared = Topology("app", Login("app", ""), at, expectations=Expectations(read_lag=100 * 2**20))
    assert allowed_read_lag(Cluster(declared)) == ReadLag(100 * 2**20)


@pytest.mark.parametrize(("lag", "raised"), [(ReadLag(2**20, assumed=True), Inconclusive), (ReadLag(2**20), NotInTime)])
def test_a_replica_that_may_be_allowed_to_lag_further_breaks_no_promise(
    lag: ReadLag, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "_look_without_target", lambda world: Finding.false("of 1 sessions: 1 on pg2"))
    fault = SimpleNamespace(counts_from=time.monotonic())
    world = SimpleNamespace(experiment=SimpleNamespace(injected_fault=fault, target_member="pg2"))
    with pytest.raises(raised):
        routing.require_out_of_reads(cast(World, world), 0.1, lag)
