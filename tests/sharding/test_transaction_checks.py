"""Checks of transfers, of transactions over two workers and of deadlocks, on facts made by hand."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from support.engine.history import History, Operation, Outcome
from support.sharding.checks import all_or_nothing, both_or_neither, one_victim


@dataclass(frozen=True)
class Kept:
    balance: int
    transfers: frozenset[str] = frozenset()


def transfer(name: str, outcome: Outcome) -> Operation:
    return Operation(0, "transfer", name, ("a", "b"), outcome, 1.0, 2.0)


OK, FAIL, UNKNOWN = (transfer(name, outcome) for name, outcome in zip("xyz", Outcome, strict=True))
HISTORY = History([OK, FAIL, UNKNOWN])


@pytest.mark.parametrize("there", ["x", "xz"])
def test_an_unknown_transfer_may_have_happened_or_not(there: str) -> None:
    kept = frozenset(there)
    finding = all_or_nothing(HISTORY, {"a": Kept(97, kept), "b": Kept(103, kept)}, 100)
    assert finding.holds is True
    assert "1 acknowledged transfers happened on both accounts" in finding.words
    assert f"{len(kept) - 1} of 1 unknown" in finding.words


@pytest.mark.parametrize(
    ("on_a", "on_b", "told"),
    [
        ("xz", "x", "1 transfers happened on one account only: z"),
        ("x", "", "happened on one account only: x"),
        ("", "", "were acknowledged and are not there: x"),
        ("xy", "xy", "failed and are there: y ("),
    ],
)
def test_what_is_not_whole_is_told(on_a: str, on_b: str, told: str) -> None:
    finding = all_or_nothing(HISTORY, {"a": Kept(97, frozenset(on_a)), "b": Kept(103, frozenset(on_b))}, 100)
    assert finding.holds is False
    assert told in finding.words


def test_money_that_comes_from_nowhere_is_told() -> None:
    kept = frozenset("x")
    finding = all_or_nothing(HISTORY, {"a": Kept(97, kept), "b": Kept(104, kept)}, 100)
    assert finding.holds is False
    assert "the accounts hold 201, and were opened with 200" in finding.words


@pytest.mark.parametrize("history", [History(), History([FAIL, UNKNOWN])])
def test_nothing_is_known_where_nothing_was_acknowledged(history: History) -> None:
    assert all_or_nothing(history, {"a": Kept(100), "b": Kept(100)}, 100).holds is None


def test_nothing_is_known_of_an_account_that_was_not_read() -> None:
    finding = all_or_nothing(HISTORY, {"a": Kept(100, frozenset("x"))}, 100)
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
        (["", ""], None),
        (["deadlock detected"], None),
        ([], None),
    ],
)
def test_one_victim(conditions: list[str], holds: bool | None) -> None:
    assert one_victim(conditions).holds is holds
