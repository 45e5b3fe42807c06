"""Exactly once, by each operation's own number: what a sum would not show is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.engine.checks.exactly_once import Applied, counted_exactly, each_applied_once
from support.engine.finding import Finding
from support.engine.history import History, Operation, Outcome

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN


def increment(wrote: int | None, outcome: Outcome = OK) -> Operation:
    return Operation(0, "increment", "counter", wrote, outcome, 1, 1)


class TestCounter:
    def judged(self, ended_at: int, *done: Operation) -> Finding:
        return counted_exactly(History(done), 10, ended_at)

    def test_counted(self) -> None:
        assert self.judged(12, increment(11), increment(12)).holds

    def test_what_is_unknown_may_count_or_not(self) -> None:
        done = [increment(11), increment(12, UNKNOWN), increment(13, FAIL)]
        assert [self.judged(ended_at, *done).holds for ended_at in (10, 11, 12, 13)] == [False, True, True, False]

    def test_one_lost_and_one_doubled_are_both_named(self) -> None:
        finding = self.judged(12, increment(11), increment(11))
        assert finding.holds is False
        assert "1 number written by several acknowledged increments: 11" in finding.words
        assert "1 number written by no increment: 12" in finding.words

    def test_one_in_doubt_does_not_hide_what_nobody_wrote(self) -> None:
        finding = self.judged(13, increment(11), increment(12, UNKNOWN))
        assert "1 number written by no increment: 13" in finding.words

    def test_an_acknowledged_one_that_is_gone(self) -> None:
        finding = self.judged(11, increment(11), increment(12))
        assert "1 number acknowledged but not part of the counter: 12" in finding.words

    def test_nothing_counted(self) -> None:
        assert self.judged(10).holds is None
        assert self.judged(10, increment(11, UNKNOWN)).holds is None


def attempt(outcome: Outcome, begun: float, ended: float, key: str) -> Operation:
    return Operation(0, "count", key, None, outcome, begun, ended)


class TestExactlyOnce:
    HISTORY = (
        attempt(OK, 1, 2, "a"),
        attempt(UNKNOWN, 3, 4, "b"),
        attempt(FAIL, 5, 6, "b"),
        attempt(OK, 7, 8, "b"),
    )

    def judged(self, *applied: str, counted: int | None = None, more: tuple[Operation, ...] = ()) -> Finding:
        """`applied` are the operations in the order of their numbers."""
        found = [Applied(name, number) for number, name in enumerate(applied, 1)]
        return each_applied_once(History([*self.HISTORY, *more]), found, len(applied) if counted is None else counted)

    def test_each_counts_once(self) -> None:
        finding = self.judged("a", "b")
        assert finding.holds is True
        assert finding.words.startswith("2 operations were acknowledged, 1 of them retried after a lost answer")

    def test_one_lost_and_one_doubled_are_both_named(self) -> None:
        finding = self.judged("b", "b")
        assert finding.holds is False
        assert "1 operation acknowledged but not applied: a" in finding.words
        assert "1 operation applied more than once: b (as 1 and 2)" in finding.words

    def test_an_operation_in_doubt_does_not_hide_a_double(self) -> None:
        finding = self.judged("a", "b", "b", more=(attempt(UNKNOWN, 9, 10, "c"),))
        assert finding.holds is False
        assert "applied more than once: b (as 2 and 3)" in finding.words

    def test_what_is_counted_beside_the_operations_is_named(self) -> None:
        finding = each_applied_once(History(self.HISTORY), [Applied("a", 1), Applied("b", 3)], 3)
        assert finding.holds is False
        assert "1 number claimed by no operation: something else was counted: 2" in finding.words
        assert self.judged("a", "b", counted=3).holds is False

    def test_a_lost_update(self) -> None:
        finding = each_applied_once(History(self.HISTORY), [Applied("a", 1), Applied("b", 1)], 1)
        assert "1 number claimed by several operations: one increment overwrote another: 1 (a, b)" in finding.words

    def test_a_counter_that_went_back(self) -> None:
        assert "1 number not part of the counter: increments were lost: 2" in self.judged("a", "b", counted=1).words

    @pytest.mark.parametrize("there", [(), ("c",)])
    def test_what_is_in_doubt_at_the_end_may_count_or_not(self, there: tuple[str, ...]) -> None:
        assert self.judged("a", "b", *there, more=(attempt(UNKNOWN, 9, 10, "c"),)).holds is True

    def test_what_certainly_failed_may_not_count(self) -> None:
        finding = self.judged("a", "b", "c", more=(attempt(FAIL, 9, 10, "c"),))
        assert "1 operation applied although each attempt had failed: c" in finding.words

    def test_what_nobody_tried_may_not_count(self) -> None:
        assert "applied but tried by no client: x" in self.judged("a", "b", "x").words

    def test_an_operation_is_not_counted_before_one_that_was_over_when_it_began(self) -> None:
        finding = self.judged("b", "a")
        assert finding.holds is False
        assert "operation a counted up to 2 and was acknowledged before b began, which counted up to 1" in finding.words

    def test_operations_at_the_same_time_may_be_counted_in_any_order(self) -> None:
        while_b = (attempt(OK, 3.5, 7.5, "c"),)
        assert self.judged("a", "b", "c", more=while_b).holds is True
        assert self.judged("a", "c", "b", more=while_b).holds is True

    def test_no_answer_was_lost(self) -> None:
        history = History([attempt(OK, 1, 2, "a"), attempt(FAIL, 3, 4, "b"), attempt(OK, 5, 6, "b")])
        assert each_applied_once(history, [Applied("a", 1), Applied("b", 2)], 2).holds is None

    def test_nothing_was_acknowledged(self) -> None:
        assert each_applied_once(History(), [], 0).holds is None
        assert each_applied_once(History([attempt(UNKNOWN, 1, 2, "a")]), [Applied("a", 1)], 1).holds is None

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
    def test_any_operation_that_is_lost_or_doubled_is_named(self, lost: list[int], data: st.DataObject) -> None:
        """Each operation is repeated after so many lost answers."""
        history = History(
            attempt(UNKNOWN if number < times else OK, 4 * which + number, 4 * which + number + 0.5, str(which))
            for which, times in enumerate(lost)
            for number in range(times + 1)
        )
        names = [str(which) for which in range(len(lost))]
        right = [Applied(name, number) for number, name in enumerate(names, 1)]
        assert each_applied_once(history, right, len(names)).holds is (True if any(lost) else None)
        gone, twice = data.draw(st.sampled_from(right)), data.draw(st.sampled_from(right))
        wrong = [one for one in right if one != gone] + [Applied(twice.operation, gone.number)]
        finding = each_applied_once(history, wrong, len(names))
        if twice != gone:
            assert finding.holds is False
            assert f"not applied: {gone.operation}" in finding.words
            assert f"more than once: {twice.operation} (" in finding.words
