"""What is judged after a failover, over facts made by hand: good, bad and none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.engine.checks.writers import FrozenPeriod, acknowledged_no_write, without_frozen
from support.engine.history import History, Operation, Outcome, WriterSample
from support.errors import Inconclusive
from support.failover.switchover import require_refused_for
from support.target.leadership import Leadership
from support.target.patroni_commands import Reply

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN
THAW = 100.0


def append(begun: float, outcome: Outcome = OK, took: float = 0.5) -> Operation:
    return Operation(0, "append", "entry", f"entry at {begun:g}", outcome, begun, begun + took)


class TestTookNoWrite:
    def holds(self, *operations: Operation) -> bool | None:
        return acknowledged_no_write(History(operations), "append", THAW).holds

    def test_all_later_ones_were_refused(self) -> None:
        finding = acknowledged_no_write(History([append(10), append(101, FAIL), append(102, UNKNOWN)]), "append", THAW)
        assert (finding.holds, finding.words) == (True, "none of 2 writes was acknowledged")

    def test_a_late_answer_to_an_early_write_is_none_that_was_taken(self) -> None:
        assert self.holds(append(10), append(99, took=5), append(101, FAIL)) is True

    def test_one_that_was_taken(self) -> None:
        finding = acknowledged_no_write(History([append(10), append(101, FAIL), append(102)]), "append", THAW)
        assert finding.holds is False
        assert finding.words == "1 of 2 writes were acknowledged: entry at 102 after 2.50 s"

    @pytest.mark.parametrize(
        "operations", [[], [append(10)], [append(10, FAIL), append(101, FAIL)], [append(101, FAIL)]]
    )
    def test_no_evidence(self, operations: list[Operation]) -> None:
        assert self.holds(*operations) is None

    @given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=20))
    def test_any_later_acknowledgement_is_refused(self, outcomes: list[Outcome]) -> None:
        later = [append(101.0 + number, outcome) for number, outcome in enumerate(outcomes)]
        assert self.holds(append(10), *later) is (OK not in outcomes)


class TestNaps:
    """A member that stood still may look writable for a moment, and no longer."""

    woken = WriterSample("pg1", 30.1, 30.2, True)
    nap = FrozenPeriod("pg1", 10.0, 35.0)

    def test_a_look_within_it_is_left_out(self) -> None:
        begun_before = WriterSample("pg1", 9.9, 30.05, True)
        assert without_frozen([self.woken, begun_before], [self.nap]) == []

    @pytest.mark.parametrize(
        "sample",
        [
            WriterSample("pg1", 9.0, 9.1, True),
            WriterSample("pg1", 34.9, 35.1, True),
            WriterSample("pg2", 30.1, 30.2, True),
        ],
    )
    def test_any_other_look_counts(self, sample: WriterSample) -> None:
        assert without_frozen([self.woken, sample], [self.nap]) == [sample]
        assert without_frozen([self.woken, sample], []) == [self.woken, sample]


class TestRefusedSwitchovers:
    def test_each_for_its_reason(self) -> None:
        require_refused_for({"the leader itself": Reply(400, "they are the same")}, {"the leader itself": "the same"})

    @pytest.mark.parametrize(
        ("reply", "complaint"),
        [
            (Reply(200, 'Successfully switched over to "pg2"'), "carried out"),
            (Reply(202, "Switchover scheduled: the same"), "carried out"),
            (Reply(412, "switchover failed"), "refused without that reason: switchover failed \\(412\\)"),
            (Reply(503, ""), "no reason given \\(503\\)"),
        ],
    )
    def test_carried_out_or_without_the_reason(self, reply: Reply, complaint: str) -> None:
        with pytest.raises(AssertionError, match=complaint):
            require_refused_for({"the leader itself": reply}, {"the leader itself": "the same"})

    @pytest.mark.parametrize("replies", [{}, {"somebody else": Reply(400, "the same")}])
    def test_no_evidence(self, replies: dict[str, Reply]) -> None:
        with pytest.raises(Inconclusive):
            require_refused_for(replies, {"the leader itself": "the same"})


class TestReigns:
    """Only where somebody else took over, an asynchronous cluster may have lost what was acknowledged."""

    before = Leadership("pg1", 3)

    @pytest.mark.parametrize("now", [Leadership("pg2", 4), Leadership("pg1", 5), Leadership("pg1", 6)])
    def test_somebody_took_over(self, now: Leadership) -> None:
        assert self.before.followed_by_another(now)

    @pytest.mark.parametrize("now", [Leadership("pg1", 3), Leadership("pg1", 4)])
    def test_it_went_on_in_place(self, now: Leadership) -> None:
        assert not self.before.followed_by_another(now)
