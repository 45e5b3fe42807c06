"""[expect]: what can be declared, and what is told of what cannot."""

import json

import pytest

from support.errors import UsageError
from support.expectations import KEYS, AcceptedLoss, Expectations
from support.settings import Settings, variable_of


def test_nothing_declared_is_as_configured() -> None:
    assert Expectations.parse({}) == Expectations()
    assert all(getattr(Expectations(), key) is None for key in KEYS)


def test_everything_declared() -> None:
    found = Expectations.parse(
        {
            "members": ["pg1", "pg2"],
            "workers": 2,
            "synchronous": False,
            "accepted_loss": "1MB",
            "delayed_replicas": ["pg2"],
            "replication_slots": False,
            "data_checksums": False,
            "autovacuum": False,
            "leader_serves_reads": True,
            "bounded_slots": True,
            "member_settings": ["work_mem", "citus.max_shared_pool_size"],
            "failsafe": True,
            "dcs_spare": 0,
            "login_failover": True,
            "clock_jumps": False,
            "recovery_time": 45,
            "proxy_detection": 7.5,
            "proxy_lists_members": True,
            "read_lag": "100MB",
            "redis_mode": "sentinel",
            "redis_eviction": "volatile-lfu",
        }
    )
    assert (found.members, found.member_count, found.workers) == (("pg1", "pg2"), 2, 2)
    assert (found.wants_synchronous, found.accepted_loss, found.failsafe) == (False, 1048576, True)
    assert found.delayed_replicas == ("pg2",)
    assert (found.replication_slots, found.data_checksums, found.leader_serves_reads) == (False, False, True)
    assert found.autovacuum is False
    assert (found.bounded_slots, found.member_settings) == (True, ("work_mem", "citus.max_shared_pool_size"))
    assert (found.login_failover, found.clock_jumps) == (True, False)
    assert (found.dcs_spare, found.recovery_time, found.proxy_detection) == (0, 45.0, 7.5)
    assert (found.proxy_lists_members, found.read_lag) == (True, 100 * 2**20)


@pytest.mark.parametrize(("value", "size"), [(0, 0), (512, 512), ("512", 512), ("64kB", 65536), ("2 GB", 2 * 2**30)])
def test_sizes(value: object, size: int) -> None:
    assert Expectations.parse({"accepted_loss": value}).accepted_loss == size


def test_standbys_to_wait_for_declare_synchronous_replication() -> None:
    assert Expectations.parse({"synchronous_standbys": 2}).wants_synchronous is True
    assert Expectations.parse({"synchronous": True}).wants_synchronous is True
    assert Expectations.parse({}).wants_synchronous is None


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (
            {"synchronus": True},
            r"synchronus is not known; did you mean synchronous\? \(known: members, workers, sy",
        ),
        ({"quux": 1}, r"quux is not known \(known: members"),
        ({"synchronous": "yes"}, "synchronous = 'yes': it should be true or false"),
        ({"synchronous": 1}, "should be true or false"),
        ({"members": 0}, "whole number, 1 or more, or a list of names"),
        ({"members": True}, "whole number, 1 or more, or a list of names"),
        ({"members": []}, "a list of names"),
        ({"members": ["pg1", 2]}, "a list of names"),
        ({"members": ["pg1", "pg1"]}, "pg1 is listed more than once"),
        ({"workers": -1}, "whole number, 0 or more"),
        ({"workers": 2.0}, "whole number, 0 or more"),
        ({"synchronous_standbys": 0}, "whole number, 1 or more"),
        ({"accepted_loss": "1 megabyte"}, 'a size such as "64kB" or "1MB"'),
        ({"accepted_loss": -1}, "number of bytes"),
        ({"recovery_time": 0}, "number of seconds, more than 0"),
        ({"recovery_time": "30s"}, "number of seconds"),
        ({"recovery_time": float("nan")}, "number of seconds"),
        ({"redis_mode": "alone"}, "one of standalone, cluster, sentinel"),
        ({"redis_eviction": "lru"}, "one of noeviction, .*allkeys-lru"),
        ({"synchronous": False, "synchronous_standbys": 1}, "contradict each other"),
        ({"synchronous": True, "accepted_loss": 1}, "accepted_loss is for asynchronous replication"),
    ],
)
def test_what_is_wrong_is_told(declared: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Expectations.parse(declared)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Expectations.parse({"member": 3, "failsafe": "on"})
    assert [line.split()[1] for line in str(caught.value).splitlines()] == ["member", "failsafe"]


def test_by_the_environment_and_by_a_target_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load({"expect": {"members": 3}}).expectations.members == 3
    monkeypatch.setenv(variable_of("expect"), json.dumps({"failsafe": True}))
    assert Settings.load().expectations == Expectations(failsafe=True)


def test_it_is_wrong_usage_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="did you mean members"):
        Settings.load({"expect": {"membres": 3}})
    monkeypatch.setenv("ACCEPT_EXPECT", "members = 3")
    with pytest.raises(UsageError, match=r"ACCEPT_EXPECT .*written as JSON"):
        Settings.load()


def test_no_loss_is_accepted_unless_some_is() -> None:
    assert not AcceptedLoss()
    assert AcceptedLoss(1)
    assert AcceptedLoss(0, 1.0)
