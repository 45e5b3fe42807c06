"""Whether members are alike: each difference is told with its members, and none is seen where there is none."""

from dataclasses import dataclass

import pytest

from support.engine.finding import Finding
from support.failover.member_checks import (
    Setting,
    StreamedAgain,
    all_logged_in,
    all_streamed_again,
    each_through_a_slot,
    none_waits_for_a_restart,
    same_on_all,
    settings_agree,
    sorted_as_recorded,
)
from support.failover.member_settings import may_differ
from support.failover.new_logins import Attempt

SOFTWARE = {
    "PostgreSQL": "16.14",
    "extension vector in the catalog": "0.8.5",
    "extension vector in the server's files": "0.8.5",
    "the library of Citus": "Citus 13.2.2",
    "the database app, sorted by libc": "2.36",
    "collation german, sorted by ICU": "153.120",
    "library $libdir/vector": "file 0a1b2c3d4e5f",
}


def alike(**silent: str) -> Finding:
    return same_on_all({"m1": SOFTWARE, "m2": SOFTWARE}, silent, "do this")


def test_members_that_are_alike() -> None:
    assert alike().holds is True


def test_a_silent_member_may_differ() -> None:
    assert alike(m3="refused").holds is None
    assert "m3: refused" in alike(m3="refused").words
    assert same_on_all({"m1": SOFTWARE}, {}, "do this").holds is None


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("PostgreSQL", "16.13"),
        ("extension vector in the server's files", "0.7.4"),
        ("extension vector in the server's files", "not there"),
        ("the library of Citus", "unusable: loaded Citus library version differs from installed extension version"),
        ("the database app, sorted by libc", "2.31"),
        ("collation german, sorted by ICU", "no version"),
        ("library $libdir/vector", "file ffffffffffff"),
        ("library $libdir/vector", 'file not there, unusable: could not access file "$libdir/vector"'),
        ("extension hstore in the server's files", "1.8"),
    ],
)
def test_one_member_differs(what: str, value: str) -> None:
    found = same_on_all({"m1": SOFTWARE, "m2": {**SOFTWARE, what: value}, "m3": SOFTWARE}, {}, "do this")
    assert found.holds is False
    assert f"{what}: {SOFTWARE.get(what, 'nothing')} on m1 and m3, {value} on m2" in found.words
    assert "(do this)" in found.words


def test_a_difference_is_told_although_a_member_is_silent() -> None:
    told = {"m1": SOFTWARE, "m2": {**SOFTWARE, "PostgreSQL": "17.10"}}
    assert same_on_all(told, {"m3": "refused"}, "do this").holds is False


@dataclass(frozen=True)
class Collation:
    name: str
    provider: str
    recorded: str | None
    actual: str | None


GERMAN = Collation("collation german", "ICU", "153.120", "153.120")
UNVERSIONED = Collation("the database app", "libc", None, None)
NEVER_RECORDED = Collation("the database app", "libc", None, "2.36")


def test_collations_as_recorded() -> None:
    assert sorted_as_recorded({"m1": [GERMAN, UNVERSIONED], "m2": [GERMAN, NEVER_RECORDED]}, {}).holds is True
    assert sorted_as_recorded({"m1": [GERMAN]}, {"m2": "refused"}).holds is None
    assert sorted_as_recorded({}, {}).holds is None


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Collation("collation german", "ICU", "153.120", "153.112"), "but is now sorted by ICU 153.112 on m2"),
        (Collation("the database app", "libc", "2.31", "2.36"), "the database app was recorded with version 2.31"),
        (Collation("the database app", "libc", "0", None), "sorted by libc without a version on m2"),
    ],
)
def test_another_collation_version(other: Collation, told: str) -> None:
    found = sorted_as_recorded({"m1": [GERMAN], "m2": [GERMAN, other]}, {"m3": "refused"})
    assert found.holds is False
    assert told in found.words


def test_all_members_have_another_version_than_the_indexes() -> None:
    other = Collation("collation german", "ICU", "153.112", "153.120")
    assert "ICU 153.120 on m1 and m2" in sorted_as_recorded({"m1": [other], "m2": [other]}, {}).words


LEADER = {"work_mem": "4096 kB", "max_connections": "100", "hot_standby_feedback": "on", "port": "5432"}


def agree(
    *replicas: dict[str, str],
    declared: tuple[str, ...] = (),
    exempt: tuple[str, ...] = (),
    silent: dict[str, str] | None = None,
) -> Finding:
    values = {"m1": LEADER} | {f"m{number}": values for number, values in enumerate(replicas, 2)}
    told = {
        member: {name: Setting(value, f"{member}.conf line 7") for name, value in shown.items()}
        for member, shown in values.items()
    }
    names = {name for shown in values.values() for name in shown}
    apart = may_differ(names, {member: member != "m1" for member in told}, exempt, declared)
    return settings_agree(told, silent or {}, "m1", apart)


def test_settings_that_are_the_same() -> None:
    assert agree(LEADER, LEADER).holds is True
    assert agree(LEADER, silent={"m3": "refused"}).holds is None
    assert agree().holds is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("work_mem", "65536 kB"), ("max_connections", "120"), ("max_connections", "50"), ("citus.shard_count", "64")],
)
def test_a_setting_of_one_member(name: str, value: str) -> None:
    found = agree(LEADER, {**LEADER, name: value})
    assert found.holds is False
    assert f"{name}: {LEADER.get(name, 'nothing')} on m1 and m2, {value} on m3" in found.words
    assert "m3.conf line 7 on m3" in found.words


def test_what_each_member_has_for_itself() -> None:
    own = {"port": "6432", "primary_conninfo": "host=m1", "recovery_min_apply_delay": "5"}
    assert agree({**LEADER, **own}).holds is True


def test_settings_that_only_replicas_use_differ_between_replicas_only() -> None:
    off = {**LEADER, "hot_standby_feedback": "off"}
    assert agree(off, off).holds is True
    assert "hot_standby_feedback: on on m2, off on m3" in agree(LEADER, off).words


def test_what_the_user_lets_differ_and_members_that_never_lead() -> None:
    other = {**LEADER, "work_mem": "65536 kB"}
    assert agree(other, declared=("work_mem",)).holds is True
    assert agree(LEADER, other, exempt=("m3",)).holds is True
    assert agree(LEADER, other, exempt=("m2",)).holds is False


def test_a_replica_needs_no_less_than_the_leader_whoever_may_differ() -> None:
    small = {**LEADER, "max_connections": "50"}
    for found in (agree(LEADER, small, exempt=("m3",)), agree(LEADER, small, declared=("max_connections",))):
        assert "max_connections is 50 on m3, less than 100 on the leader m1" in found.words
    assert agree(LEADER, {**LEADER, "max_connections": "500"}, exempt=("m3",)).holds is True


def test_what_waits_for_a_restart() -> None:
    found = none_waits_for_a_restart({"m1": [], "m2": ["max_connections (100, then 120)"]}, {"m3": "refused"})
    assert found.holds is False
    assert "m2: max_connections (100, then 120)" in found.words
    assert none_waits_for_a_restart({"m1": [], "m2": []}, {}).holds is True
    assert none_waits_for_a_restart({"m1": []}, {"m2": "refused"}).holds is None


def test_replicas_whose_streams_were_ended() -> None:
    back, out = StreamedAgain("m2", "m1", 0.7, 101), StreamedAgain("m3", "m1", None, 170, "no session of it")
    assert all_streamed_again([back], 30).holds is True
    assert all_streamed_again([], 30).holds is None
    late = all_streamed_again([back, StreamedAgain("m3", "m1", 34.0, 140)], 30)
    assert (late.holds, late.only_limit, late.during) == (False, True, ((106, 140),))
    locked_out = all_streamed_again([back, out], 30)
    assert (locked_out.holds, locked_out.only_limit) == (False, False)
    assert "m3 (m1 has no session of it)" in locked_out.words
    slow = StreamedAgain("m4", "m1", None, 170, "a session that is catchup", let_in=True, begun=110)
    behind = all_streamed_again([back, slow], 30)
    assert (behind.holds, behind.only_limit, behind.during) == (False, True, ((110, 170),))
    assert behind.words == (
        "let in again, but did not stream: m4 for 60.0 s (m1 has a session that is catchup) (limit: 30 s)"
    )
    assert not all_streamed_again([slow, out], 30).only_limit


def test_logins_from_member_to_member() -> None:
    refused = Attempt("to be rewound", "m2", "m1", "permission denied for function pg_read_binary_file")
    accepted = Attempt("to stream or to be copied", "m2", "m1", "")
    assert all_logged_in([accepted]).holds is True
    assert all_logged_in([]).holds is None
    found = all_logged_in([accepted, refused])
    assert found.holds is False
    assert "m2 cannot log in to m1 to be rewound: permission denied" in found.words


def test_each_replica_streams_through_a_slot() -> None:
    assert each_through_a_slot(["pg2", "pg3"], []).holds is True
    assert each_through_a_slot(["pg2"], ["pg2: it uses no slot"]).holds is False
    assert each_through_a_slot([], []).holds is None, "without a replica that streams there is nothing to judge"
