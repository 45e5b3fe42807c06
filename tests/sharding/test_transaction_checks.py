"""Checks of transfers, of transactions over two workers and of deadlocks, on facts made by hand."""

from collections.abc import Mapping

import pytest

from support import sql
from support.engine.finding import Finding
from support.engine.history import History, Operation, Outcome
from support.sharding.checks import Account, Transfer, all_or_nothing, both_or_neither, one_victim


def transfer(name: str, outcome: Outcome) -> Operation:
    return Operation(0, "transfer", name, Transfer("a", "b", 3), outcome, 1.0, 2.0)


OK, FAIL, UNKNOWN = (transfer(name, outcome) for name, outcome in zip("xyz", Outcome, strict=True))
HISTORY = History([OK, FAIL, UNKNOWN])


def judged(on_a: str, on_b: str, a: int | None = None, b: int | None = None) -> Finding:
    """The transfers that each account has; its balance is what they make, unless another one is given."""
    made = 100 - 3 * len(on_a), 100 + 3 * len(on_b)
    kept = (
        Account(made[0] if a is None else a, dict.fromkeys(on_a, -3)),
        Account(made[1] if b is None else b, dict.fromkeys(on_b, 3)),
    )
    return all_or_nothing(HISTORY, {"a": kept[0], "b": kept[1]}, 100)


@pytest.mark.parametrize("there", ["x", "xz"])
def test_an_unknown_transfer_may_have_happened_or_not(there: str) -> None:
    finding = judged(there, there)
    assert finding.holds is True
    assert "1 acknowledged transfer happened on both accounts" in finding.words
    assert f"{len(there) - 1} of 1 unknown" in finding.words


@pytest.mark.parametrize(
    ("on_a", "on_b", "told"),
    [
        ("xz", "x", "1 transfer happened on one account only: z"),
        ("x", "", "happened on one account only: x"),
        ("", "", "1 transfer acknowledged but not there: x"),
        ("xy", "xy", "1 transfer failed but there all the same: y ("),
        ("xq", "xq", "on an account where no client made it: q on a, q on b"),
    ],
)
def test_what_is_not_whole_is_told(on_a: str, on_b: str, told: str) -> None:
    finding = judged(on_a, on_b)
    assert finding.holds is False
    assert told in finding.words


def test_money_that_comes_from_nowhere_is_told() -> None:
    finding = judged("x", "x", b=104)
    assert finding.holds is False
    assert finding.words == "1 account does not match its transfers: b 104 instead of 103"


def test_a_change_that_is_lost_and_one_that_is_made_twice_do_not_make_up_for_each_other() -> None:
    finding = judged("xz", "xz", a=91, b=109)
    assert finding.holds is False
    assert "a 91 instead of 94, b 109 instead of 106" in finding.words


@pytest.mark.parametrize("history", [History(), History([FAIL, UNKNOWN])])
def test_nothing_is_known_where_nothing_was_acknowledged(history: History) -> None:
    assert all_or_nothing(history, {"a": Account(100, {}), "b": Account(100, {})}, 100).holds is None


def test_nothing_is_known_of_an_account_that_was_not_read() -> None:
    finding = all_or_nothing(HISTORY, {"a": Account(97, {"x": -3})}, 100)
    assert finding.holds is None
    assert finding.words.endswith(": b")


WHOLE, HALF, PART = ({"one": 5, "two": two} for two in (5, 0, 4))
NOWHERE = {"one": 0, "two": 0}


@pytest.mark.parametrize(
    ("told", "found", "holds"),
    [
        (Outcome.OK, WHOLE, True),
        (Outcome.OK, NOWHERE, False),
        (Outcome.OK, HALF, False),
        (Outcome.OK, PART, False),
        (Outcome.FAIL, NOWHERE, True),
        (Outcome.FAIL, WHOLE, False),
        (Outcome.FAIL, HALF, False),
        (Outcome.UNKNOWN, WHOLE, True),
        (Outcome.UNKNOWN, NOWHERE, True),
        (Outcome.UNKNOWN, HALF, False),
        (Outcome.UNKNOWN, PART, False),
        (Outcome.OK, {"one": 5}, None),
        (Outcome.OK, {}, None),
    ],
)
def test_a_transaction_over_two_workers(told: Outcome, found: Mapping[str, int], holds: bool | None) -> None:
    assert both_or_neither(told, found, 5).holds is holds


def test_the_words_say_what_is_where() -> None:
    words = "the client was told ok, and there are 5 of 5 on one, 0 of 5 on two"
    assert both_or_neither(Outcome.OK, HALF, 5).words == words
    assert both_or_neither(Outcome.OK, WHOLE, 0).holds is None


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        (["deadlock detected", ""], True),
        (["", "deadlock detected"], True),
        (["deadlock detected", "deadlock detected"], False),
        (["query canceled", ""], False),
        (["deadlock detected", "query canceled"], False),
        (["lock not available", "lock not available"], None),
        (["lock not available", ""], None),
        (["deadlock detected", "lock not available"], None),
        (["", ""], None),
        (["deadlock detected"], None),
        ([], None),
    ],
)
def test_one_victim(conditions: list[str], holds: bool | None) -> None:
    assert one_victim(conditions).holds is holds


def test_a_session_that_waits_no_longer_by_its_own_setting_names_it(postgres: sql.Endpoint) -> None:
    """By the name that a real server gives to its error."""
    sql.execute(postgres, "CREATE TABLE waited_for (n int); INSERT INTO waited_for VALUES (1)")
    change = "UPDATE waited_for SET n = 2"
    with sql.session(postgres, autocommit=False) as one, sql.session(postgres) as other:
        sql.execute(one, change)
        sql.execute(other, "SET lock_timeout = '10ms'")
        ended = sql.error_of(lambda: sql.execute(other, change))
    found = one_victim([sql.condition_of(ended), sql.condition_of(ended)])
    assert found.holds is None
    assert "the role's lock_timeout ended a session's wait" in found.words
