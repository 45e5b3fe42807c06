"""How long a cluster may take, by its own timing; and what it is configured for, by Patroni's answers."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from support.engine.world import World
from support.expectations import Expectations
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.patroni_configuration import MAXIMUM_LAG, PatroniConfiguration, parsed
from support.target.timing import Span, Timing, proxy_detection
from support.target.topology import Address, Login, Topology
from support.timeouts import EFFECT, NOTICE, RECOVERY, REJOIN, VISIBLE

OURS = Timing()
PATRONIS = Timing(ttl=30, loop_wait=10, silence=60, proxy=12)
"""With Patroni's, PostgreSQL's and the usual proxy's defaults."""
STATED = {
    r"the (?P<span>\w+(?: \w+)*) interrupts (?:clients|the clients of worker group \d) for less than (?P<s>\d+)": None,
    r"leads within (?P<s>\d+) seconds": Span.FAILOVER,
    r"streams? (?:as a replica|on the timeline of the leader) within (?P<s>\d+) seconds": Span.REJOIN,
    r"commits wait for another standby within (?P<s>\d+) seconds": Span.STANDBY_LOSS,
    r"the read endpoint within (?P<s>\d+) seconds": Span.READ_ROUTING,
    r"sessions is cut within (?P<s>\d+) seconds": Span.HANGUP,
    r"writes are accepted again within (?P<s>\d+) seconds": Span.RETURN,
    r"each reader is answered again within (?P<s>\d+) seconds": Span.READER,
    r"every node knows the new leader .* within (?P<s>\d+) seconds": Span.NODES,
}


def stated() -> list[tuple[Span, float]]:
    """What the scenarios promise, and of what."""
    found = []
    for path in Path("features").rglob("*.feature"):
        for line in path.read_text().splitlines():
            for words, span in STATED.items():
                if "marker" not in line and (match := re.search(words, line)) and "Scenario" not in line:
                    found.append((span or Span(match["span"]), float(match["s"])))
    return found


def test_no_promise_is_looser_on_our_own_cluster() -> None:
    promises = stated()
    assert {span for span, _ in promises} == set(Span)
    for span, seconds in promises:
        assert OURS.limit(span, seconds).seconds == seconds, (span, seconds, OURS.parts(span))


def test_waits_are_what_they_were_on_our_own_cluster() -> None:
    waits = (OURS.visible, OURS.notice, OURS.effect, OURS.rejoin, OURS.recovery)
    assert waits == (VISIBLE, NOTICE, EFFECT, REJOIN, RECOVERY)


def test_a_cluster_that_looks_less_often_is_given_what_follows_from_it() -> None:
    limit = PATRONIS.limit(Span.FAILOVER, 30)
    assert limit.seconds == 57
    assert limit.why.startswith("ttl 30 + loop_wait 10 + election 5 + proxy 12; the scenario states 30 s")
    assert PATRONIS.limit(Span.FAILOVER, 90).seconds == 90
    assert PATRONIS.visible > VISIBLE
    assert PATRONIS.recovery > RECOVERY


def test_a_start_that_does_not_finish_lasts_as_long_as_patroni_lets_it() -> None:
    assert OURS.total(Span.HANGING_START) == 2 * 1 + 30 + 7 + 5 + 3
    limit = replace(PATRONIS, start_timeout=300).limit(Span.HANGING_START, 60)
    assert limit.seconds == 2 * 10 + 300 + 7 + 5 + 12
    assert "primary_start_timeout 300" in limit.why
    assert replace(OURS, start_timeout=300).longest_fault == OURS.longest_fault + 300 - 30, "a guard ends none before"


def test_clients_are_watched_for_as_long_as_the_lock_the_loop_and_the_proxy_take() -> None:
    assert OURS.second_outage == 20 + 1 + 3
    assert PATRONIS.second_outage == 30 + 10 + 12
    assert replace(OURS, retry_timeout=20).second_outage == 1 + 2 * 20 + 1 + 3
    assert OURS.second_outage_of_proxy == 3
    assert OURS.second_outage_once_settled == 5 + 2 * 1 + 3
    assert PATRONIS.second_outage_once_settled <= PATRONIS.second_outage
    assert replace(OURS, silence=60).second_outage_once_settled == OURS.second_outage
    assert replace(OURS, multiplier=2).second_outage == 2 * OURS.second_outage


def test_a_slow_machine_waits_longer_and_promises_the_same() -> None:
    slow = replace(OURS, multiplier=3)
    assert (slow.visible, slow.recovery) == (3 * VISIBLE, 3 * RECOVERY)
    assert slow.limit(Span.FAILOVER, 30) == OURS.limit(Span.FAILOVER, 30)


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ("backend b\n  server one 10.0.0.1:5432 check\n", 8),
        ("listen w\n  default-server inter 3s fall 3 rise 2\n  server one 10.0.0.1:5432 check port 8008\n", 12),
        ("defaults\n  default-server check inter 1s fastinter 500ms fall 2 rise 1\nlisten w\n  server one a:1\n", 3),
        ("listen w\n  default-server inter 1s\n  server one a:1 check inter 5000 fall 1 rise 1\n", 10),
        ("listen w\n  default-server check inter 1s\nlisten r\n  server one a:1 check fall 4\n", 10),
        ("listen w\n  server one a:1\n", None),
        ("# server one a:1 check\n", None),
    ],
)
def test_how_soon_a_proxy_notices(lines: str, seconds: float | None) -> None:
    assert proxy_detection(lines) == seconds


def test_what_is_not_configured_has_patronis_defaults() -> None:
    assert parsed({}) == PatroniConfiguration()
    assert parsed({"ttl": None, "postgresql": None, "maximum_lag_on_failover": "much"}) == PatroniConfiguration()
    assert (PatroniConfiguration().ttl, PatroniConfiguration().loop_wait, PatroniConfiguration().maximum_lag) == (
        30,
        10,
        MAXIMUM_LAG,
    )


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({}, 300),
        ({"primary_start_timeout": 30}, 30),
        ({"master_start_timeout": "60"}, 60),
        ({"primary_start_timeout": 30, "master_start_timeout": 60}, 30),
        ({"primary_start_timeout": 0}, 0),
        ({"primary_start_timeout": None, "master_start_timeout": "long"}, 300),
    ],
)
def test_how_long_a_leader_may_take_to_start(answer: dict[str, object], seconds: float) -> None:
    assert parsed(answer).start_timeout == seconds


def test_what_is_configured() -> None:
    found = parsed(
        {
            "ttl": 20,
            "loop_wait": "1",
            "maximum_lag_on_failover": 16777216,
            "synchronous_mode": True,
            "synchronous_node_count": 2,
            "failsafe_mode": "on",
            "postgresql": {"parameters": {"wal_sender_timeout": "5s", "wal_receiver_timeout": 7000}},
        }
    )
    assert found == PatroniConfiguration(
        ttl=20,
        loop_wait=1,
        maximum_lag=16777216,
        maximum_lag_set=True,
        synchronous=True,
        standbys=2,
        failsafe=True,
        replication_timeout=7,
    )


@pytest.mark.parametrize(("mode", "on"), [("quorum", True), ("yes", True), (True, True), ("off", False), (None, False)])
def test_synchronous_mode_as_patroni_takes_it(mode: object, on: bool) -> None:
    assert parsed({"synchronous_mode": mode}).synchronous is on


class TestLimitInForce:
    """The user's own limit, else a declared recovery time, else what is stated or follows from the timing."""

    def limit(
        self, tmp_path: Path, stated: float, span: Span | None, ids: tuple[str, ...] = (), **declared: object
    ) -> float:
        topology = Topology(
            database="d",
            application=Login("jo", "x"),
            write=Address("127.0.0.1", 1),
            timing=PATRONIS,
            expectations=Expectations.parse(declared),
        )
        run = Run("id", tmp_path, tmp_path, 1)
        return World(run, Cluster(topology), Evidence(), ids=ids, limits={"FO-01": 20.0}).limit(stated, "leader", span)

    def test_what_follows_from_the_timing(self, tmp_path: Path) -> None:
        assert self.limit(tmp_path, 30, Span.FAILOVER) == 57
        assert self.limit(tmp_path, 30, None) == 30

    def test_a_declared_recovery_time_also_where_it_is_less(self, tmp_path: Path) -> None:
        assert self.limit(tmp_path, 30, Span.FAILOVER, recovery_time=25) == 25
        assert self.limit(tmp_path, 30, Span.FAILOVER, recovery_time=300) == 300
        assert self.limit(tmp_path, 10, Span.SWITCHOVER, recovery_time=300) == 27

    def test_the_users_own_limit_comes_first(self, tmp_path: Path) -> None:
        assert self.limit(tmp_path, 30, Span.FAILOVER, ("FO-01",), recovery_time=25) == 20
