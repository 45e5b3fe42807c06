"""Leaders: who must not take over (FO-14), refuses logins (FO-15), is no primary (FO-19), loses its lock (SB-05)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from support.engine.finding import Finding
from support.engine.history import History, Operation, Outcome, WriterSample
from support.failover.leader_checks import (
    Claim,
    KeyLook,
    NewSession,
    Renewal,
    called_primary_truly,
    kept_the_key,
    lock_ran_out,
    lock_renewed_in_time,
    new_sessions_again,
    nobody_took_over,
    open_sessions_went_on,
)

LOST, END = 10.0, 40.0


def seen(member: str, writable: bool | None, begun: float = LOST, ended: float = END) -> Iterator[WriterSample]:
    """A look each second."""
    at = begun
    while at < ended:
        yield WriterSample(member, at + 0.1, at + 0.2, writable)
        at += 1


def judged(*samples: Iterator[WriterSample], left: tuple[str, ...] = ("pg3",)) -> tuple[bool | None, str]:
    finding = nobody_took_over([one for some in samples for one in some], left, LOST, END)
    return finding.holds, finding.words


def test_a_replica_that_refuses_to_the_end() -> None:
    assert judged(seen("pg3", False), seen("pg1", True, ended=LOST)) == (True, "pg3 accepted no write for 30.0 s")


def test_a_replica_that_takes_over() -> None:
    holds, words = judged(seen("pg3", False, ended=31), seen("pg3", True, 31))
    assert holds is False
    assert words.startswith("pg3 accepted writes 21.2 s after the loss of the leader and of every standby that had")


def test_what_it_did_before_the_loss_counts_for_nothing() -> None:
    assert judged(seen("pg3", True, 0, LOST), seen("pg3", False))[0] is True


def test_a_replica_that_falls_silent_may_have_taken_over() -> None:
    assert judged(seen("pg3", False, ended=30), seen("pg3", None, 30)) == (
        None,
        "pg3 was not seen to refuse a write until the end",
    )
    assert judged(seen("pg3", False), left=("pg3", "pg4"))[0] is None


def test_without_a_replica_that_is_left_nothing_is_known() -> None:
    assert judged(seen("pg1", False), left=())[0] is None


def claims(member: str, primary: bool | None, begun: float, ended: float) -> list[Claim]:
    """An answer each half second."""
    return [Claim(member, begun + at / 2, begun + at / 2 + 0.05, primary) for at in range(round(2 * (ended - begun)))]


def claimed(promoted: float, samples: list[WriterSample]) -> Finding:
    """pg1 leads until the fault; pg2 is reported as the primary from 30.0 on, and promoted then."""
    told = [*claims("pg1", True, 0, LOST), *claims("pg1", None, LOST, END)]
    told += [*claims("pg2", False, 0, 30), *claims("pg2", True, 30, END)]
    took = [*seen("pg2", False, 0, promoted), *seen("pg2", True, promoted), *samples]
    return called_primary_truly(told, took, ["pg1", "pg2"], LOST, 5)


def test_a_member_that_is_promoted_as_soon_as_it_is_called_the_primary() -> None:
    finding = claimed(30, [])
    assert finding.holds is True
    assert finding.words.endswith(
        "reported as the primary: pg1, pg2; the longest time while read-only: never (limit: 5 s)"
    )


def test_a_member_that_is_called_the_primary_and_is_promoted_late() -> None:
    finding = claimed(38, [])
    assert finding.holds is False
    ((begun, ended),) = finding.during
    assert (begun, ended - begun) == (pytest.approx(LOST + 20.1, abs=0.06), pytest.approx(7.1, abs=0.06))
    assert finding.words == (
        "pg2 was reported as the primary by its health check for 7.1 s, from 20.1 s after the fault on, "
        "while it was read-only (limit: 5 s)"
    )
    assert claimed(33, []).holds is True


def test_each_time_for_which_a_claim_was_false_for_too_long_is_told() -> None:
    thawed = [*claims("pg3", True, 15, 24), *claims("pg3", False, 24, END)]
    told = [*claims("pg1", True, 0, LOST), *claims("pg2", False, 0, 30), *claims("pg2", True, 30, END), *thawed]
    took = [*seen("pg2", False, 0, 38), *seen("pg2", True, 38), *seen("pg3", False, 0)]
    finding = called_primary_truly(told, took, ["pg1", "pg2", "pg3"], LOST, 5)
    assert sorted(round(begun) for begun, _ in finding.during) == [15, 30]
    assert finding.words.startswith("pg3 was reported as the primary by its health check for 8.4 s")


def test_a_member_that_lets_nobody_in_is_not_read_only() -> None:
    closed = [WriterSample("pg2", at, at + 0.1, None, closed=True) for at in range(30, 40)]
    assert called_primary_truly(claims("pg2", True, 0, END), closed, ["pg2"], LOST, 5).holds is None


def test_a_member_that_does_not_tell_whether_it_takes_writes_may_be_read_only() -> None:
    told = [*claims("pg1", True, 0, LOST), *claims("pg2", False, 0, 30), *claims("pg2", True, 30, END)]
    for silence in (list(seen("pg1", None, 0)), [*seen("pg1", None, 0), *seen("pg2", None, 0)]):
        finding = called_primary_truly(told, silence, ["pg1", "pg2"], LOST, 5)
        assert finding.holds is None
        assert finding.words.endswith("it is not known whether pg2 took writes meanwhile")
    assert called_primary_truly(told, [], ["pg1", "pg2"], LOST, 5).holds is None
    watched_until = list(seen("pg2", True, 0, 34))  # then nobody was asked any more
    assert called_primary_truly(told, watched_until, ["pg1", "pg2"], LOST, 5).holds is True


def test_where_no_role_changed_hands_nothing_is_known() -> None:
    told, took = claims("pg1", True, 0, END), list(seen("pg1", True, 0))
    finding = called_primary_truly(told, took, ["pg1", "pg2"], LOST, 5)
    assert finding.holds is None
    assert finding.words.startswith("no role changed hands")


SINCE, LIMIT = 100.0, 30.0


def tried(*ended: float, reached: bool = False) -> list[NewSession]:
    """Attempts of 3 s, each after the fault; the last one reached a leader if that is said."""
    refused = [NewSession(SINCE + end - 3, SINCE + end, "timeout expired") for end in ended]
    return [*refused[:-1], replace(refused[-1], refusal="")] if reached else refused


def test_a_new_session_reaches_a_leader_in_time_or_too_late() -> None:
    assert new_sessions_again(tried(3, 6, 24.5, reached=True), SINCE, LIMIT).holds is True
    late = new_sessions_again(tried(3, 29, 31.2, reached=True), SINCE, LIMIT)
    assert (late.holds, late.words) == (False, "a new session reached a leader 31.2 s after the fault (limit: 30 s)")
    assert late.during == ((SINCE, SINCE + 31.2),)


def test_no_new_session_reaches_a_leader() -> None:
    finding = new_sessions_again(tried(3, 15, 32), SINCE, LIMIT)
    assert finding.holds is False
    assert "no new session reached a leader for 32.0 s after the fault (limit: 30 s)" in finding.words
    assert finding.words.endswith("the last of 3 that were tried: timeout expired")
    assert finding.during == ((SINCE, SINCE + 32),)


def test_a_new_session_before_the_fault_or_a_trial_that_ended_early_says_nothing() -> None:
    before = NewSession(SINCE - 2, SINCE + 1, "")
    assert new_sessions_again([before, *tried(3, 15)], SINCE, LIMIT).holds is None
    assert new_sessions_again([], SINCE, LIMIT).holds is None


def key_looks(*leaders: str, every: float = 3.0) -> list[KeyLook]:
    return [KeyLook(SINCE + every * number, leader) for number, leader in enumerate(leaders)]


KEPT = "pg1 held the leader key each of the 11 times it was checked"


@pytest.mark.parametrize(
    ("looks", "holds", "words"),
    [
        (key_looks(*["pg1"] * 11), True, KEPT),
        (key_looks(*["pg1"] * 9, "pg2"), False, "27.0 s later pg2 held the leader key, instead of pg1"),
        (key_looks(*["pg1"] * 5, "", *["pg1"] * 5), False, "15.0 s later nobody held the leader key, instead of pg1"),
        (key_looks(*["pg1"] * 5), None, "for 18.0 s it was not known who holds the leader key"),
        ([], None, "for 30.0 s it was not known who holds the leader key"),
        ([KeyLook(SINCE - 1, "pg2"), *key_looks(*["pg1"] * 11)], True, KEPT),
    ],
    ids=["kept", "taken over", "given up", "not asked until the end", "never asked", "before the fault"],
)
def test_who_kept_the_leader_key(looks: list[KeyLook], holds: bool | None, words: str) -> None:
    finding = kept_the_key(looks, "pg1", SINCE, SINCE + LIMIT, 15.0)
    assert (finding.holds, finding.words) == (holds, words)


@pytest.mark.parametrize(
    ("acknowledged", "words"),
    [
        (range(100, 131), ""),
        ([*range(90, 104), *range(107, 131)], ""),
        (range(90, 104), "no write was acknowledged on open sessions from 3.0 s until 30.0 s after the fault"),
        ([*range(90, 104), *range(112, 131)], "acknowledged on open sessions from 3.0 s until 12.0 s after the fault"),
        (range(90, 100), "no write was acknowledged on open sessions"),
    ],
    ids=["all the time", "short pause", "cut soon", "interrupted", "cut at once"],
)
def test_open_sessions_that_go_on(acknowledged: Sequence[int], words: str) -> None:
    history = History(Operation(0, "append", "a", at, Outcome.OK, at - 0.1, at) for at in acknowledged)
    finding = open_sessions_went_on(history, "append", SINCE, SINCE + 30)
    assert finding.holds is (not words)
    assert finding.words.endswith(words)


def read(*positions: int, every: float = 1.0) -> list[Renewal]:
    return [Renewal(LOST + every * number, position) for number, position in enumerate(positions)]


@pytest.mark.parametrize(
    ("renewals", "holds", "words"),
    [
        (read(*range(30)), True, "the lock was not renewed for 0.0 s (limit: 19 s)"),
        (read(1, *[2] * 19, 3), True, "the lock was not renewed for 18.0 s (limit: 19 s)"),
        (read(1, *[2] * 20, 3), False, "the lock was not renewed for 19.0 s (limit: 19 s)"),
        (read(1, 2, *[3] * 21), False, "the lock was not renewed for 20.0 s (limit: 19 s)"),
        (read(1, 2, every=20), None, "the DCS was not read for 20.0 s"),
        (read(1), None, "the DCS was read 1 times"),
    ],
    ids=["always", "late", "too late", "never again", "not read", "read once"],
)
def test_a_lock_that_is_renewed_in_time(renewals: list[Renewal], holds: bool | None, words: str) -> None:
    finding = lock_renewed_in_time(renewals, 19)
    assert (finding.holds, finding.words) == (holds, words)
    assert [f"the lock was not renewed for {ended - begun:.1f} s" in words for begun, ended in finding.during] == (
        [True] if holds is False else []
    )


def test_each_time_for_which_a_lock_was_not_renewed_is_told() -> None:
    finding = lock_renewed_in_time(read(1, *[2] * 25, 3, *[4] * 20, 5), 19)
    assert finding.during == ((LOST + 1, LOST + 25), (LOST + 27, LOST + 46))
    assert finding.words == "the lock was not renewed for 24.0 s (limit: 19 s)"


@pytest.mark.parametrize(
    ("renewals", "changed", "holds"),
    [
        (read(1, 2, *[3] * 19, 4, 5), math.inf, True),
        (read(1, 2, *[3] * 19, 4, 5), LOST + 23, True),
        (read(*[1] * 20, 2, 3), math.inf, True),
        (read(1, 2, 3, *[4] * 20), math.inf, True),
        (read(1, 2, *[3] * 16, 4, 5), math.inf, False),
        (read(*range(30)), LOST + 3, False),
        (read(1, 2, *[3] * 30), LOST + 15, False),
        (read(*range(10), *[10] * 30), LOST + 9, False),
        (read(1, 2, *[3] * 3), LOST + 22, True),
        (read(1), LOST + 3, None),
    ],
    ids=[
        "expired and taken again",
        "expired and taken over",
        "not renewed since before the first look",
        "never renewed again",
        "renewed before it expired",
        "taken over at once",
        "taken over before it expired",
        "expired only later",
        "the DCS was silent afterwards",
        "read once",
    ],
)
def test_a_lock_that_its_leader_lets_expire(renewals: list[Renewal], changed: float, holds: bool | None) -> None:
    """It lasts 19 s or more, is read every second, and was renewed a second before the first look."""
    assert lock_ran_out(renewals, LOST - 1, changed, 19).holds is holds
