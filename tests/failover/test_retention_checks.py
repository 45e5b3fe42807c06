"""What may be kept back: every kind of slot and transaction counts by what it keeps, whoever uses it."""

from dataclasses import replace

import pytest

from support.failover.missed_wal import least_wal
from support.failover.retention_checks import (
    MissedWal,
    OpenTransaction,
    RetainingSlot,
    UnarchivedWal,
    UnfrozenRows,
    back_or_known_to_be_out,
    little_wal_unarchived,
    longest_open,
    most_kept,
    most_unarchived,
    none_open_longer,
    oldest_kept,
    oldest_unfrozen,
    rows_are_frozen,
    slots_are_limited,
    slots_keep_few_rows,
    slots_keep_little_wal,
)

USED = RetainingSlot("pg2", "physical", True, "reserved", 2**20, 20)
UNUSED_ON_A_REPLICA = RetainingSlot("pg3", "physical", False, "reserved", 2**24, 0)
LOST = RetainingSlot("gone", "physical", False, "lost", 2**40, 0)
NEVER_USED = RetainingSlot("fresh", "logical", False, "", 0, 0)
HEALTHY = {"m1": [USED, NEVER_USED], "m2": [UNUSED_ON_A_REPLICA, LOST], "m3": []}


def test_slots_of_a_healthy_cluster() -> None:
    assert slots_keep_little_wal(HEALTHY, {}, 1024).holds is True
    assert slots_keep_few_rows(HEALTHY, {}, 1000).holds is True
    assert (most_kept(HEALTHY), oldest_kept(HEALTHY)) == (16.0, 20)


def test_a_silent_member_may_have_slots() -> None:
    assert slots_keep_little_wal(HEALTHY, {"m4": "refused"}, 1024).holds is None
    assert slots_keep_few_rows(HEALTHY, {"m4": "refused"}, 1000).holds is None
    assert slots_keep_little_wal({}, {}, 1024).holds is None


@pytest.mark.parametrize(
    ("slot", "told"),
    [
        (
            RetainingSlot("cdc", "logical", False, "extended", 3 * 2**30, 0),
            "the logical slot cdc (inactive) keeps 3,072 MB",
        ),
        (
            RetainingSlot("cdc", "logical", True, "extended", 3 * 2**30, 0),
            "the logical slot cdc (active) keeps 3,072 MB",
        ),
        (
            RetainingSlot("pg9", "physical", False, "unreserved", 2**31, 0),
            "the physical slot pg9 (inactive) keeps 2,048 MB",
        ),
    ],
)
def test_a_slot_that_keeps_wal(slot: RetainingSlot, told: str) -> None:
    for member in ("m1", "m2"):
        found = slots_keep_little_wal({**HEALTHY, member: [slot]}, {"m4": "refused"}, 1024)
        assert found.holds is False
        assert f"on {member}, {told}" in found.words
        assert "limit: 1,024 MB" in found.words


def test_a_slot_that_keeps_rows() -> None:
    keeping = RetainingSlot("s", "logical", True, "reserved", 0, 1_200_000)
    found = slots_keep_few_rows({**HEALTHY, "m2": [keeping]}, {}, 1e6)
    assert found.holds is False
    assert "on m2, the logical slot s (active) keeps the rows of the last 1,200,000 transactions" in found.words


def test_slots_without_a_limit() -> None:
    assert slots_are_limited({"m1": 4096, "m2": 4096}, {}).holds is True
    assert slots_are_limited({"m1": 4096}, {"m2": "refused"}).holds is None
    found = slots_are_limited({"m1": 4096, "m2": -1, "m3": -1}, {})
    assert found.holds is False
    assert "fill the disk of m2 and m3" in found.words


WAITING = UnarchivedWal(3 * 2**24, fails=False)


def test_wal_that_waits_to_be_archived() -> None:
    told = {"m1": WAITING, "m2": UnarchivedWal(0, fails=False)}
    assert little_wal_unarchived(told, {}, 1024).holds is True
    assert most_unarchived(told) == 48
    assert little_wal_unarchived(told, {"m3": "refused"}, 1024).holds is None
    assert little_wal_unarchived({}, {}, 1024).holds is None


@pytest.mark.parametrize("fails", [True, False])
def test_an_archive_that_is_far_behind(fails: bool) -> None:
    told = {"m1": UnarchivedWal(2**31, fails), "m2": WAITING}
    found = little_wal_unarchived(told, {"m3": "refused"}, 1024)
    assert found.holds is False
    assert found.words.startswith("m1 keeps 2,048 MB of WAL that waits to be archived")
    assert (", and archiving fails (limit: 1,024 MB; " in found.words) is fails
    assert "m2" not in found.words


YOUNG = UnfrozenRows("app", "transactions", 5_000, 200_000_000)


@pytest.mark.parametrize(
    ("kind", "age", "due", "late"),
    [
        ("transactions", 250_000_000, 200_000_000, False),
        ("transactions", 600_000_001, 200_000_000, True),
        ("multixacts", 600_000_001, 400_000_000, False),
        ("multixacts", 1_200_000_001, 400_000_000, True),
        ("transactions", 1_500_000_000, 1_000_000_000, False),
        ("transactions", 1_600_000_001, 1_000_000_000, True),
        ("transactions", 1_700_000_000, 1_800_000_000, False),
        ("transactions", 1_800_000_001, 1_800_000_000, True),
    ],
)
def test_rows_are_to_be_frozen_soon_after_they_are_due(kind: str, age: int, due: int, late: bool) -> None:
    """And in any case before there is no room for more."""
    old = UnfrozenRows("old", kind, age, due)
    found = rows_are_frozen({"m1": [YOUNG, old], "m2": [YOUNG]}, {}, 3)
    assert found.holds is not late
    assert (f"on m1, vacuum has not frozen rows of database old for {age:,} {kind}" in found.words) is late


def test_the_setting_by_which_rows_are_due_is_named() -> None:
    assert YOUNG.setting == "autovacuum_freeze_max_age"
    assert replace(YOUNG, kind="multixacts").setting == "autovacuum_multixact_freeze_max_age"


def test_a_silent_member_may_have_old_rows() -> None:
    assert rows_are_frozen({"m1": [YOUNG]}, {"m2": "refused"}, 3).holds is None
    assert rows_are_frozen({}, {}, 3).holds is None
    assert oldest_unfrozen({"m1": [YOUNG], "m2": []}) == 5_000 / 200_000_000


def transaction(seconds: float, name: str = "idle transaction of psql (pid 7)") -> OpenTransaction:
    return OpenTransaction(name, "app", "accept", "UPDATE  t\nSET x = 1", 12, seconds)


def test_transactions_of_a_healthy_cluster() -> None:
    assert none_open_longer({"m1": [transaction(3599)], "m2": []}, {}, 3600, "end it").holds is True
    assert none_open_longer({"m1": []}, {"m2": "refused"}, 3600, "end it").holds is None
    assert longest_open({"m1": [transaction(5), transaction(7)], "m2": []}) == 7


@pytest.mark.parametrize("name", ["idle transaction of psql (pid 7)", "prepared transaction 'citus_0_1'"])
def test_a_forgotten_transaction(name: str) -> None:
    found = none_open_longer({"m1": [], "m2": [transaction(4000, name)]}, {"m3": "refused"}, 3600, "end it")
    assert found.holds is False
    assert f"{name} by app in accept, for 4000 s: UPDATE t SET x = 1 on m2" in found.words
    assert "(limit: 3600 s; end it)" in found.words


MISSED = MissedWal("pg3", streams=False, said_to_stream=False, serves_reads=False, may_take_over=False)


def test_a_replica_that_missed_wal_is_back_or_known_to_be_out() -> None:
    assert back_or_known_to_be_out(replace(MISSED, streams=True, said_to_stream=True, serves_reads=True)).holds is True
    assert back_or_known_to_be_out(MISSED).holds is True


@pytest.mark.parametrize(
    ("believed", "words"),
    [
        ("said_to_stream", "Patroni says that it streams"),
        ("serves_reads", "the read endpoint leads to it"),
        ("may_take_over", "nothing keeps it from taking over"),
    ],
)
def test_nobody_is_led_to_believe_that_it_is_well(believed: str, words: str) -> None:
    finding = back_or_known_to_be_out(replace(MISSED, **{believed: True}))
    assert (finding.holds, finding.words) == (
        False,
        f"pg3 has missed WAL and does not stream, and yet {words}",
    )


@pytest.mark.parametrize("megabytes", [1, 16, 64, 1024])
def test_little_wal_is_as_little_as_patroni_and_postgres_accept(megabytes: int) -> None:
    """Patroni accepts no wal_keep_size below 16 MB, PostgreSQL no min_wal_size below two segments."""
    segment = megabytes * 2**20
    kept = least_wal(segment)
    assert kept["wal_keep_size"] >= max(16 * 2**20, segment)
    assert 2 * segment <= kept["min_wal_size"] <= kept["max_wal_size"]
    assert kept["max_slot_wal_keep_size"] >= segment
