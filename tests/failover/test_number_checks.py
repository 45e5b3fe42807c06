"""Numbers that were issued twice are reported; numbers that no client received do not count."""

from support.engine.history import History, Operation, Outcome
from support.failover.number_checks import IDENTITY, SEQUENCE, none_issued_twice

FAULT = 10.0


def drawn(action: str, number: int, at: float, outcome: Outcome = Outcome.OK) -> Operation:
    return Operation(0, action, action, number, outcome, at - 0.01, at)


HEALTHY = [drawn(action, number, number) for number in (1, 2, 33, 34) for action in (SEQUENCE, IDENTITY)]


def test_numbers_with_gaps_are_given_once() -> None:
    assert none_issued_twice(History(HEALTHY), FAULT).holds is True


def test_a_number_that_is_given_again() -> None:
    for action in (SEQUENCE, IDENTITY):
        found = none_issued_twice(History([*HEALTHY, drawn(action, 2, 35)]), FAULT)
        assert found.holds is False
        assert (
            f"1 number was issued twice by {action}: 2 (8.0 s before the fault, 25.0 s after the fault)" in found.words
        )


def test_an_answer_that_was_lost_is_none() -> None:
    assert none_issued_twice(History([*HEALTHY, drawn(SEQUENCE, 2, 9, Outcome.UNKNOWN)]), FAULT).holds is True


def test_without_numbers_on_both_sides_of_the_fault_nothing_is_known() -> None:
    assert none_issued_twice(History(), FAULT).holds is None
    assert none_issued_twice(History(HEALTHY), 40.0).holds is None
    assert none_issued_twice(History(HEALTHY[::2]), FAULT).holds is None
