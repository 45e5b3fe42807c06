"""What the pages tell of what was seen: the observation first, the time last, no ids, nothing cut off in mid-word."""

import pytest

from support.errors import NotInTime
from support.reporting.pages.wording import MOST, cut, first_write, in_short, observations


def test_what_was_seen_comes_first_and_the_time_last() -> None:
    late = NotInTime("pg2 streams as a replica", "pg2 does not stream, it is stopped", 60.4, 60)
    assert in_short(str(late)) == (
        "pg2 does not stream, it is stopped (pg2 streams as a replica: still not true after 60.4 s, limit: 60 s)"
    )


def test_what_members_have_alike_is_told_once() -> None:
    seen = "; ".join(
        f"{member}, {setting}: expected on, observed off"
        for member in ("pg1", "pg2", "pg3")
        for setting in ("fsync", "synchronous_commit")
    )
    told = (
        "pg1, pg2, pg3, fsync: expected on, observed off; pg1, pg2, pg3, synchronous_commit: expected on, observed off"
    )
    assert in_short(seen) == told
    late = str(NotInTime("every member has these settings", seen, 15.1, 15))
    assert in_short(late) == f"{told} (every member has these settings: still not true after 15.1 s, limit: 15 s)"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("261 of 68378 acknowledged writes lost: 3-45, 6-117, and 256 more", "261 of 68,378 acknowledged writes lost"),
        (
            "86 of 2815 writes were acknowledged that should have been refused: 1-71 after 0.05 s, 1-72 after 0.06 s",
            "86 of 2,815 writes were acknowledged that should have been refused",
        ),
        ("2 of 3 acknowledged writes lost: 3-4, 6-7 (3-4: write 4 of client 3)", "2 of 3 acknowledged writes lost"),
        ("on pg2, 1 of 3 acknowledged writes lost: 0-0", "on pg2, 1 of 3 acknowledged writes lost"),
        ("3 of 7 acknowledged writes lost: order 17, order 18", "3 of 7 acknowledged writes lost: order 17, order 18"),
        ("server 16.4 listens on 127.0.0.1:5432", "server 16.4 listens on 127.0.0.1:5432"),
    ],
)
def test_ids_of_writes_are_left_to_the_evidence(reason: str, told: str) -> None:
    assert in_short(reason) == told


def test_the_id_of_a_write_can_be_explained() -> None:
    assert first_write("261 of 300 acknowledged writes lost: 3-45, 6-117, and 256 more") == ("3-45", "3", "45")
    assert first_write("86 writes were acknowledged: 1-71 after 0.05 s") == ("1-71", "1", "71")
    assert first_write("2 of 3 acknowledged writes lost: order 17") is None
    assert first_write("1 of 3 acknowledged writes lost: 3-4 (3-4: write 4 of client 3)") is None, "it is said already"


def test_each_thing_that_was_seen_is_told_once() -> None:
    assert observations(["slow\nand then 2 writes lost", "2 writes lost", ""]) == ["slow", "2 writes lost"]


def test_nothing_is_cut_off_in_mid_word() -> None:
    told = cut("; ".join(f"member{n} is behind by 3 MB" for n in range(40)))
    assert len(told) < MOST + 40
    assert told.removesuffix(" ... (more in the evidence)").endswith("MB")
    assert cut("short") == "short"
