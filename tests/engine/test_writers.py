"""Writers: split brain, a leader that stops in time, a thawed leader that acknowledges nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.engine.checks.writers import (
    FrozenPeriod,
    acknowledged_no_write,
    at_most_one_writer,
    last_accepted,
    stopped_in_time,
    without_frozen,
)
from support.engine.history import History, Operation, Outcome, WriterSample

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN


def sample(member: str, at: float, writable: bool | None) -> WriterSample:
    return WriterSample(member, at, at + 0.01, writable)


class TestAtMostOneWriter:
    def test_one_after_the_other(self) -> None:
        samples = [sample("a", t, t < 5) for t in range(10)] + [sample("b", t + 0.5, t > 5) for t in range(10)]
        finding = at_most_one_writer(samples, ["a", "b"])
        assert finding.holds
        assert finding.words.endswith("in turn: a, b")

    def test_two_at_once(self) -> None:
        samples = [sample("a", t, t < 7) for t in range(10)] + [sample("b", t + 0.5, t > 2) for t in range(10)]
        finding = at_most_one_writer(samples, ["a", "b"])
        assert finding.holds is False
        assert "a and b for" in finding.words

    def test_silence_is_not_held_against_a_member(self) -> None:
        silent = [sample("a", 0, True), sample("a", 1, None), sample("a", 9, False)]
        other = [sample("b", t + 0.5, t > 2) for t in range(10)]
        assert at_most_one_writer(silent + other, ["a", "b"]).holds

    def test_silence_between_two_writable_looks_splits_them(self) -> None:
        back = [sample("a", 0, True), sample("a", 1, None), sample("a", 9, True)]
        other = [sample("b", t + 0.5, 2 < t < 5) for t in range(10)]
        assert at_most_one_writer(back + other, ["a", "b"]).holds

    @pytest.mark.parametrize("samples", [[], [sample("a", 0, True)], [sample("a", 0, False), sample("b", 0, None)]])
    def test_no_evidence(self, samples: list[WriterSample]) -> None:
        assert at_most_one_writer(samples, ["a", "b"]).holds is None


class TestStoppedInTime:
    """The fault comes at 10; the lock lasts 5 s more."""

    BEFORE = sample("m1", 9, True)

    def judged(self, *samples: WriterSample) -> bool | None:
        return stopped_in_time([self.BEFORE, *samples], "m1", 10, 5).holds

    def test_it_stops_and_then_refuses(self) -> None:
        assert self.judged(sample("m1", 11, True), sample("m1", 12, None), sample("m1", 13, False)) is True

    def test_it_stops_at_once(self) -> None:
        assert self.judged(sample("m1", 11, False)) is True

    def test_it_accepts_when_the_lock_is_gone(self) -> None:
        assert self.judged(sample("m1", 12, False), sample("m1", 15.5, True)) is False

    def test_silence_is_no_refusal(self) -> None:
        assert self.judged(sample("m1", 11, True), sample("m1", 12, None)) is None

    def test_another_members_refusal_is_not_its_own(self) -> None:
        assert self.judged(sample("m1", 11, True), sample("m2", 12, False)) is None

    def test_it_never_accepted(self) -> None:
        assert stopped_in_time([sample("m1", 9, False), sample("m1", 11, False)], "m1", 10, 5).holds is None

    def test_nobody_looked(self) -> None:
        assert stopped_in_time([], "m1", 10, 5).holds is None
        assert last_accepted([], "m1", 10) == 0


THAW = 100.0


def write(begun: float, outcome: Outcome = OK, took: float = 0.5) -> Operation:
    return Operation(0, "append", "entry", f"entry at {begun:g}", outcome, begun, begun + took)


class TestAcknowledgedNoWrite:
    def holds(self, *operations: Operation) -> bool | None:
        return acknowledged_no_write(History(operations), "append", THAW).holds

    def test_all_later_ones_were_refused(self) -> None:
        finding = acknowledged_no_write(History([write(10), write(101, FAIL), write(102, UNKNOWN)]), "append", THAW)
        assert (finding.holds, finding.words) == (True, "none of 2 writes was acknowledged")

    def test_a_late_answer_to_an_early_write_is_none_that_was_taken(self) -> None:
        assert self.holds(write(10), write(99, took=5), write(101, FAIL)) is True

    def test_one_that_was_taken(self) -> None:
        finding = acknowledged_no_write(History([write(10), write(101, FAIL), write(102)]), "append", THAW)
        assert finding.holds is False
        assert finding.words == "1 of 2 writes were acknowledged: entry at 102 after 2.50 s"

    @pytest.mark.parametrize("operations", [[], [write(10)], [write(10, FAIL), write(101, FAIL)], [write(101, FAIL)]])
    def test_no_evidence(self, operations: list[Operation]) -> None:
        assert self.holds(*operations) is None

    @given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=20))
    def test_any_later_acknowledgement_is_refused(self, outcomes: list[Outcome]) -> None:
        later = [write(101.0 + number, outcome) for number, outcome in enumerate(outcomes)]
        assert self.holds(write(10), *later) is (OK not in outcomes)


class TestWithoutFrozen:
    """A thawed member may seem writable for a moment, and no longer."""

    thawed = WriterSample("pg1", 30.1, 30.2, True)
    frozen = FrozenPeriod("pg1", 10.0, 35.0)

    def test_a_sample_within_it_is_left_out(self) -> None:
        begun_before = WriterSample("pg1", 9.9, 30.05, True)
        assert without_frozen([self.thawed, begun_before], [self.frozen]) == []

    @pytest.mark.parametrize(
        "sample",
        [
            WriterSample("pg1", 9.0, 9.1, True),
            WriterSample("pg1", 34.9, 35.1, True),
            WriterSample("pg2", 30.1, 30.2, True),
        ],
    )
    def test_any_other_sample_counts(self, sample: WriterSample) -> None:
        assert without_frozen([self.thawed, sample], [self.frozen]) == [sample]
        assert without_frozen([self.thawed, sample], []) == [self.thawed, sample]
