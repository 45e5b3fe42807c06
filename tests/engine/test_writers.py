"""Writers: split brain, a leader that stops in time, a thawed leader that acknowledges nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.engine.checks.writers import (
    Coverage,
    FrozenPeriod,
    LockLeft,
    SilentPeriod,
    acknowledged_no_write,
    at_most_one_writer,
    last_accepted,
    last_acknowledged,
    learned,
    learned_in_time,
    lock_left,
    stopped_in_time,
    taken_over,
    without_frozen,
)
from support.engine.finding import Finding
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


class TestASingleLook:
    """Its moment is unknown: somewhere between the question, which may include a login, and the answer."""

    old = (sample("a", 0, True), sample("a", 10.5, True), sample("a", 10.6, False))

    def judged(self, *looks: WriterSample) -> bool | None:
        return at_most_one_writer([*self.old, *looks, sample("b", 20, None)], ["a", "b"]).holds

    def test_it_may_have_been_true_after_the_others_period(self) -> None:
        assert self.judged(WriterSample("b", 10.0, 10.9, True)) is True

    def test_it_may_have_been_true_before_the_others_period(self) -> None:
        begun_before = [sample("a", 10, True), sample("a", 12, True)]
        assert at_most_one_writer([*begun_before, WriterSample("b", 9.5, 10.5, True)], ["a", "b"]).holds is True

    def test_all_of_it_lies_within_the_others_period(self) -> None:
        assert self.judged(WriterSample("b", 9.0, 10.4, True)) is False

    def test_two_single_looks_prove_nothing(self) -> None:
        looks = [WriterSample("a", 1, 3, True), WriterSample("b", 1.5, 2.5, True)]
        assert at_most_one_writer(looks, ["a", "b"]).holds is True


class TestCoverage:
    """The fault comes at 10 and the watch ends at 40; nobody may be unseen for longer than 5 s."""

    other = tuple(sample("b", t + 0.5, t > 32) for t in range(41))

    def judged(self, *looks: WriterSample, excused: tuple[SilentPeriod, ...] = ()) -> bool | None:
        coverage = Coverage(10, 40, 5, excused)
        return at_most_one_writer([*looks, *self.other], ["a", "b"], coverage).holds

    def test_a_former_leader_that_is_seen_all_the_time(self) -> None:
        assert self.judged(*(sample("a", t, t < 20) for t in range(41))) is True

    def test_silence_from_the_cut_until_it_is_healed_is_no_evidence(self) -> None:
        looks = [sample("a", t, t < 11 if t < 11 or t > 37 else None) for t in range(41)]
        finding = at_most_one_writer([*looks, *self.other], ["a", "b"], Coverage(10, 40, 5))
        assert finding.holds is None
        assert "a gave no answer for 28.0 s, from 0.0 s after the fault on" in finding.words

    def test_silence_at_the_end_is_no_evidence(self) -> None:
        assert self.judged(*(sample("a", t, t < 20 if t < 34 else None) for t in range(41))) is None

    def test_nobody_asked_since_the_fault(self) -> None:
        assert self.judged(sample("a", 9, True)) is None

    def test_some_looks_may_fail(self) -> None:
        assert self.judged(*(sample("a", t, t < 20 if t % 4 == 0 else None) for t in range(41))) is True

    def test_before_the_fault_silence_does_not_matter(self) -> None:
        assert self.judged(*(sample("a", t, t < 20 if t in (0, 9) or t > 9 else None) for t in range(41))) is True

    def test_a_member_that_lets_nobody_in_takes_no_writes(self) -> None:
        looks = [WriterSample("a", t, t + 0.01, True if t < 11 else None, closed=t >= 11) for t in range(41)]
        assert self.judged(*looks) is True

    def test_a_host_that_is_off_is_excused_while_it_is_off(self) -> None:
        looks = [sample("a", t, t < 11 if t < 11 or t > 30 else None) for t in range(41)]
        assert self.judged(*looks, excused=(SilentPeriod("a", 10, 28),)) is True
        assert self.judged(*looks, excused=(SilentPeriod("a", 10, 20),)) is None
        assert self.judged(*looks, excused=(SilentPeriod("b", 10, 28),)) is None

    def test_two_writers_are_two_writers_however_little_is_known(self) -> None:
        looks = [sample("a", 9, True), *(sample("a", t, True) for t in range(34, 37))]
        assert self.judged(*looks) is False


class TestStoppedInTime:
    """The fault comes at 10; the lock lasts 5 s more."""

    BEFORE, LOCK = sample("m1", 9, True), LockLeft(5, 5)

    def judged(self, *samples: WriterSample) -> bool | None:
        return stopped_in_time([self.BEFORE, *samples], "m1", 10, self.LOCK).holds

    def test_it_stops_and_then_refuses(self) -> None:
        assert self.judged(sample("m1", 11, True), sample("m1", 12, None), sample("m1", 13, False)) is True

    def test_it_stops_at_once(self) -> None:
        assert self.judged(sample("m1", 11, False)) is True

    def test_it_accepts_when_the_lock_is_gone(self) -> None:
        assert self.judged(sample("m1", 12, False), sample("m1", 15.5, True)) is False

    def test_it_accepts_when_the_lock_may_be_gone(self) -> None:
        samples = [self.BEFORE, sample("m1", 16, True), sample("m1", 21, False)]
        assert stopped_in_time(samples, "m1", 10, LockLeft(5, 10)).holds is None
        assert stopped_in_time(samples, "m1", 10, LockLeft(5, 6)).holds is False
        assert stopped_in_time(samples, "m1", 10, LockLeft(7, 10)).holds is True

    def test_silence_is_no_refusal(self) -> None:
        assert self.judged(sample("m1", 11, True), sample("m1", 12, None)) is None

    def test_another_members_refusal_is_not_its_own(self) -> None:
        assert self.judged(sample("m1", 11, True), sample("m2", 12, False)) is None

    def test_it_never_accepted(self) -> None:
        assert stopped_in_time([sample("m1", 9, False), sample("m1", 11, False)], "m1", 10, self.LOCK).holds is None

    def test_nobody_looked(self) -> None:
        assert stopped_in_time([], "m1", 10, self.LOCK).holds is None

    def test_a_server_that_is_shutting_down_refuses(self) -> None:
        closed = WriterSample("m1", 13, 13.01, None, closed=True)
        assert self.judged(sample("m1", 12, True), closed) is True
        assert self.judged(sample("m1", 12, True), sample("m1", 13, None)) is None

    def test_what_was_accepted_before_is_no_negative_time(self) -> None:
        assert last_accepted([], "m1", 10) == 0
        assert last_accepted([self.BEFORE, sample("m1", 32, False)], "m1", 10) == 0
        assert last_accepted([self.BEFORE, sample("m1", 12, True)], "m1", 10) == pytest.approx(2.01, abs=0.02)


class TestLockLeft:
    """ttl 20, loop_wait 10; the fault begins at 100, and is in effect at 100.5."""

    def left(self, before: float | None, after: float | None) -> LockLeft:
        return lock_left(20, 10, begun=100, in_effect=100.5, renewed_before=before, renewed_after=after)

    def test_nothing_is_known(self) -> None:
        assert self.left(None, None) == LockLeft(10, 20.5)

    def test_it_is_known_before_and_after(self) -> None:
        assert self.left(92, 92) == LockLeft(12, 13)  # given in whole seconds

    def test_it_was_renewed_while_the_fault_took_effect(self) -> None:
        assert self.left(90, 100.25) == LockLeft(20.25, 20.5)

    def test_the_dcs_is_lost(self) -> None:
        assert self.left(92, None) == LockLeft(12, 20.5)

    def test_a_leader_that_retries_for_as_long_as_it_may_stops_in_time(self) -> None:
        """retry_timeout 5: it demotes itself at 9 + 5, and the lock, renewed at 99, lasts until 119."""
        samples = [sample("m1", 99.5, True), sample("m1", 113.9, True), sample("m1", 114.1, False)]
        assert stopped_in_time(samples, "m1", 100, self.left(99, 99)).holds is True
        assert stopped_in_time(samples, "m1", 100, self.left(92, 92)).holds is False


class TestLearnedInTime:
    """It thaws at 100, and has 5 s to learn that it was replaced."""

    def judged(self, *samples: WriterSample) -> Finding:
        return learned_in_time([sample("m1", 70, True), *samples], "m1", THAW, 5)

    def test_it_refuses_at_once(self) -> None:
        finding = self.judged(sample("m1", 101, False))
        assert (finding.holds, finding.words) == (
            True,
            "the thawed member would have taken writes for 0.0 s (limit: 5 s)",
        )

    def test_it_learns_late_which_is_a_matter_of_time(self) -> None:
        finding = self.judged(sample("m1", 107, True), sample("m1", 108, False))
        assert (finding.holds, finding.only_limit) == (False, True)
        assert finding.during == ((THAW, 107.01),), "its limit began when it thawed"

    def test_of_a_member_that_nobody_saw_again_nothing_is_known(self) -> None:
        assert self.judged().holds is None
        assert self.judged(sample("m1", 101, None)).holds is None
        assert self.judged(sample("m1", 101, False), sample("m1", 103, True)).holds is None
        assert self.judged(sample("m2", 101, False)).holds is None


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

    def test_how_long_it_went_on_acknowledging(self) -> None:
        history = History([write(10), write(99, took=5), write(101), write(102, FAIL), write(103, UNKNOWN)])
        assert last_acknowledged(history, "append", THAW) == 1.5
        assert last_acknowledged(History([write(10), write(101, FAIL)]), "append", THAW) == 0

    def test_one_that_was_taken(self) -> None:
        finding = acknowledged_no_write(History([write(10), write(101, FAIL), write(102)]), "append", THAW)
        assert finding.holds is False
        assert (
            finding.words == "1 of 2 writes were acknowledged that should have been refused: entry at 102 after 2.50 s"
        )
        named = replace(write(102), value="3-45")
        words = acknowledged_no_write(History([write(10), named]), "append", THAW).words
        assert words.endswith(": 3-45 after 2.50 s (3-45: write 45 of client 3)")

    @pytest.mark.parametrize("operations", [[], [write(10)], [write(10, FAIL), write(101, FAIL)], [write(101, FAIL)]])
    def test_no_evidence(self, operations: list[Operation]) -> None:
        assert self.holds(*operations) is None

    @given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=20))
    def test_any_later_acknowledgement_is_refused(self, outcomes: list[Outcome]) -> None:
        later = [write(101.0 + number, outcome) for number, outcome in enumerate(outcomes)]
        assert self.holds(write(10), *later) is (OK not in outcomes)


class TestWithoutFrozen:
    """A thawed member may seem writable for a moment, and no longer."""

    led = WriterSample("pg1", 9.0, 9.1, True)
    thawed = WriterSample("pg1", 30.1, 30.2, True)
    frozen = FrozenPeriod("pg1", 10.0, 35.0)

    def test_a_sample_within_it_is_left_out(self) -> None:
        begun_before = WriterSample("pg1", 9.9, 30.05, True)
        assert without_frozen([self.led, self.thawed, begun_before], [self.frozen]) == [self.led]

    def test_whoever_was_no_leader_has_no_excuse(self) -> None:
        samples = [WriterSample("pg1", 9.0, 9.1, False), self.thawed]
        assert without_frozen(samples, [self.frozen]) == samples

    def test_the_excuse_ends_with_the_first_refusal(self) -> None:
        refusal, again = WriterSample("pg1", 30.3, 30.4, False), WriterSample("pg1", 30.5, 30.6, True)
        samples = [self.led, self.thawed, refusal, again]
        assert without_frozen(samples, [self.frozen]) == [self.led, refusal, again]

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


class TestAReplacedLeader:
    """a freezes at 10, as the leader; b leads from 30 on; a thaws at 40, and refuses from 43 on. c is of group 1."""

    samples = (
        *(sample("a", t, True) for t in range(10)),
        *(sample("a", t, None) for t in range(10, 40)),
        *(sample("a", t, t < 43) for t in range(40, 50)),
        *(sample("b", t, t >= 30) for t in range(50)),
        *(sample("c", t, True) for t in range(50)),
    )

    def test_when_another_one_took_over(self) -> None:
        assert taken_over(self.samples, ["a", "b"], "a", 10) == 30.01
        assert taken_over(self.samples, ["a", "b"], "b", 10) == 40.01
        assert taken_over([one for one in self.samples if one.begun < 30], ["a", "b"], "a", 10) is None

    def test_when_it_learned(self) -> None:
        assert learned(self.samples, "a", 40) == 43.01
        assert learned(self.samples, "c", 40) == float("inf"), "it never refused"
