"""Which replica could take over: each of Patroni's rules, one at a time; and what members say of themselves."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from support.target.failover_readiness import Terms
from support.target.members import LEADER, REPLICA, MemberStatus, NoAnswer, parsed
from support.target.patroni import MemberView
from support.waiting import NotYet

MEGABYTE = 1024 * 1024
TERMS = Terms(timeline=3, written=100 * MEGABYTE, allowed_lag=MEGABYTE, synchronous=True)
STANDBY = MemberStatus(
    role=REPLICA,
    state="running",
    replication="streaming",
    timeline=3,
    wal=100 * MEGABYTE,
    synchronous=True,
    started=datetime.now(UTC),
    streams={},
)


def member(**tags: Any) -> MemberView:
    return MemberView("m2", "replica", "streaming", "10.0.0.2", 5432, 3, 0, tags)


def test_a_good_standby_may_lead() -> None:
    assert TERMS.obstacles_of(member(), STANDBY) == []


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"replication": "in archive recovery"}, "it does not stream"),
        ({"synchronous": False}, "it is not a synchronous standby"),
        ({"timeline": 2}, "it is on timeline 2, the leader on 3"),
        ({"wal": 98 * MEGABYTE}, "it is 2097152 bytes behind, 1048576 are allowed"),
    ],
)
def test_each_rule(change: dict[str, Any], obstacle: str) -> None:
    assert TERMS.obstacles_of(member(), replace(STANDBY, **change)) == [obstacle]


def test_a_lag_within_the_limit_and_a_standby_ahead_of_us_are_well() -> None:
    assert TERMS.obstacles_of(member(), replace(STANDBY, wal=99 * MEGABYTE)) == []
    assert TERMS.obstacles_of(member(), replace(STANDBY, wal=101 * MEGABYTE)) == []


def test_any_replica_will_do_without_synchronous_replication() -> None:
    assert replace(TERMS, synchronous=False).obstacles_of(member(), replace(STANDBY, synchronous=False)) == []


def test_who_does_not_answer_or_is_not_known_cannot_lead() -> None:
    assert TERMS.obstacles_of(member(), NoAnswer("it is frozen")) == ["no answer (it is frozen)"]
    assert TERMS.obstacles_of(None, STANDBY) == ["the DCS does not know it"]


@pytest.mark.parametrize(
    ("tags", "barred"), [({}, False), ({"nofailover": True}, True), ({"failover_priority": 0}, True)]
)
def test_tags(tags: dict[str, Any], barred: bool) -> None:
    assert bool(TERMS.obstacles_of(member(**tags), STANDBY)) is barred


# What Patroni 4.1.5 answers at /patroni.
STARTED = "2026-11-22 16:27:02.428923+00:00"
PRIMARY = {
    "state": "running",
    "postmaster_start_time": STARTED,
    "role": "primary",
    "xlog": {"location": 67109000},
    "timeline": 1,
    "replication": [
        {"application_name": "m2", "state": "streaming", "sync_state": "sync"},
        {"application_name": "m3", "state": "streaming", "sync_state": "async"},
    ],
}
FOLLOWER = {
    "state": "running",
    "postmaster_start_time": STARTED,
    "role": "replica",
    "xlog": {"received_location": 67109000, "replayed_location": 67108000, "paused": False},
    "sync_standby": True,
    "timeline": 1,
    "replication_state": "streaming",
}


def test_a_primary_in_its_own_words() -> None:
    said = parsed("m1", PRIMARY)
    assert (said.role, said.replication, said.wal) == (LEADER, "none", 67109000)
    assert said.streams == {"m2": "sync", "m3": "async"}
    assert said.started == datetime(2026, 11, 22, 16, 27, 2, 428923, tzinfo=UTC)


def test_a_replica_in_its_own_words() -> None:
    said = parsed("m2", FOLLOWER)
    assert (said.role, said.replication, said.wal, said.synchronous) == (REPLICA, "streaming", 67109000, True)
    assert said.streams == {}


def test_a_replica_under_no_leader_knows_no_timeline() -> None:
    assert parsed("m2", FOLLOWER | {"timeline": None}).timeline == 0


def test_a_member_without_postgresql_gives_no_answer() -> None:
    with pytest.raises(NotYet, match="PostgreSQL of m3 is stopped"):
        parsed("m3", {"state": "stopped", "role": "replica"})
