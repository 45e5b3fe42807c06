"""Durability: bad histories must be refused, and empty ones must not be believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.engine.checks.durability import (
    acknowledged_in_vain,
    each_write_once,
    kept,
    lost_reach_back,
    lost_since,
    lost_writes,
    no_acknowledged_write_lost,
)
from support.engine.fencing import lost_in_failover
from support.engine.finding import Finding
from support.engine.history import History, Operation, Outcome
from support.engine.terms import terms
from support.errors import Inconclusive, LimitExceeded
from support.expectations import AcceptedLoss

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN


def append(value: int | str, outcome: Outcome = OK, at: float | None = None) -> Operation:
    begun = float(value if at is None else at)
    return Operation(0, "append", "ledger", value, outcome, begun, begun + 0.5)


def read(*values: int | str, at: float = 1000.0) -> Operation:
    return Operation(0, "read", "ledger", list(values), OK, at, at + 0.1)


def holds(finding: Finding) -> bool | None:
    return finding.holds


def test_a_finding_is_required() -> None:
    Finding.true("well").require()
    with pytest.raises(AssertionError, match="broken"):
        Finding.false("broken").require()
    for late in (Finding.too_late("late", (10, 20), limit=5), Finding.too_late("never", never_came=True)):
        with pytest.raises(LimitExceeded) as exceeded:
            late.require()
        assert exceeded.value.facts == late
    with pytest.raises(Inconclusive, match="inconclusive: empty"):
        Finding.unknown("empty").require()


class TestAcceptedLoss:
    """Appends acknowledged half a second after 0, 1, 2, ...; the fault comes at 7, and the last append was not lost."""

    def judged(self, kept: int, accepted: AcceptedLoss, size: int = 1, fault: float = 7.0) -> Finding:
        history = History([*(append(number) for number in range(10)), read(*range(kept), 9)])
        return no_acknowledged_write_lost(history, (fault, fault), lambda one: accepted, lambda one: size)

    def test_within_the_bytes(self) -> None:
        finding = self.judged(6, AcceptedLoss(30, 0.0, "known limit: 30 bytes"), size=10)
        assert finding.holds
        assert finding.words.startswith("3 of 10 acknowledged writes lost: 6, 7, 8; 30 bytes (known limit: 30 bytes)")

    def test_beyond_the_bytes(self) -> None:
        finding = self.judged(6, AcceptedLoss(29, 0.0, "known limit: 29 bytes"), size=10)
        assert finding.holds is False
        assert "30 bytes (known limit: 29 bytes)" in finding.words

    def test_the_last_moments_come_on_top(self) -> None:
        assert self.judged(6, AcceptedLoss(0, 2.5)).holds
        assert self.judged(6, AcceptedLoss(0, 1.5)).holds is False
        assert self.judged(6, AcceptedLoss(1, 1.5)).holds

    def test_a_ledger_that_lost_all_of_before_the_fault_proves_nothing(self) -> None:
        assert self.judged(0, AcceptedLoss(10**6, 60.0)).holds is None
        assert self.judged(1, AcceptedLoss(10**6, 60.0)).holds

    def test_nothing_is_accepted_unless_it_is_said(self) -> None:
        assert self.judged(8, AcceptedLoss()).holds is False

    def test_each_group_by_its_own_terms(self) -> None:
        """The entries are on two groups in turn; the last one is there, and the first six."""
        history = History([*(append(number) for number in range(10)), read(*range(6), 9)])
        even_and_odd = {
            0: AcceptedLoss(20, why="the even ones may"),
            1: AcceptedLoss(10, why="the odd ones may", group=1),
        }

        def judged(*groups: AcceptedLoss | None) -> Finding:
            homes = dict(enumerate(groups))
            return no_acknowledged_write_lost(history, (7.0, 7.0), lambda one: homes[one.value % 2], lambda one: 10)

        assert judged(even_and_odd[0], even_and_odd[1]).holds
        assert (
            "20 bytes (the even ones may); 10 bytes (the odd ones may)"
            in judged(even_and_odd[0], even_and_odd[1]).words
        )
        assert judged(even_and_odd[0], AcceptedLoss(9, group=1)).holds is False
        strict = judged(even_and_odd[0], AcceptedLoss(group=1))
        assert strict.holds is False
        assert strict.words == "3 of 10 acknowledged writes lost: 6, 7, 8; 1 of them where none may be lost: 7"
        assert judged(AcceptedLoss(), AcceptedLoss(group=1)).words == "3 of 10 acknowledged writes lost: 6, 7, 8"

    def test_a_loss_of_nobody_knows_which_group_is_not_excused(self) -> None:
        history = History([*(append(number) for number in range(10)), read(*range(6), 9)])

        def judged(others: AcceptedLoss) -> bool | None:
            return no_acknowledged_write_lost(
                history, (7.0, 7.0), lambda one: None if one.value == 7 else others, lambda one: 10
            ).holds

        assert judged(AcceptedLoss(20)) is None
        assert judged(AcceptedLoss(19)) is False
        assert judged(AcceptedLoss()) is False

    def test_a_row_has_the_terms_of_the_group_that_held_it(self) -> None:
        accepted = {1: AcceptedLoss(10, group=1)}
        assert terms({1}, accepted) == accepted[1]
        assert terms({2}, accepted) == terms({0, 2}, accepted) == AcceptedLoss()
        assert terms({1, 2}, accepted) is None

    def thawed(self) -> History:
        """Beside the appends of `judged`, six at 20 that a leader acknowledged although it had been replaced at 19."""
        vain = (append(100 + number, at=20 + number / 10) for number in range(6))
        return History([*(append(number) for number in range(10)), *vain, read(*range(6), 9)])

    def test_what_a_replaced_leader_acknowledges_in_vain_is_no_loss_of_the_failover(self) -> None:
        """Nor does it say how far the replicas were behind; but a limit that is declared for all of it includes it."""
        whole = self.thawed()
        vain = lost_since(whole, 19.0, 1000.0)
        assert [one.value for one in vain] == [100, 101, 102, 103, 104, 105]
        assert not lost_since(whole, 19.0, 19.9)

        def judged(accepted: AcceptedLoss) -> bool | None:
            history = lost_in_failover(whole, vain, accepted)
            return no_acknowledged_write_lost(history, (7.0, 7.0), lambda one: accepted, lambda one: 10).holds

        assert judged(AcceptedLoss(0, 2.5)) is True
        assert judged(AcceptedLoss(0, 1.5)) is False
        assert judged(AcceptedLoss(90)) is True
        assert judged(AcceptedLoss(89)) is False

    def test_it_may_do_so_until_it_had_time_to_learn(self) -> None:
        vain = lost_since(self.thawed(), 19.0, 1000.0)
        known = acknowledged_in_vain(vain, "pg1", limit=5, since=19.5)
        assert known.holds
        assert "pg1 acknowledged 6 writes in 1.0 s, and they are lost: 100, 101" in known.words
        late = acknowledged_in_vain(vain, "pg1", limit=5, since=15.4)
        assert (late.holds, late.only_limit) == (False, False)
        assert "the last one 5.1 s after it could learn of that (limit: 5 s)" in late.words
        assert acknowledged_in_vain([], "pg1", limit=5, since=15.4).holds

    def test_what_each_member_must_hold_is_what_the_cluster_kept(self) -> None:
        history = History([append(1), append(2), append(3, UNKNOWN), read(1)])
        assert [one.value for one in kept(history)] == [1, 3]


class TestNoAcknowledgedWriteLost:
    def test_all_there(self) -> None:
        finding = no_acknowledged_write_lost(History([append(1), append(2), read(1, 2)]))
        assert finding.holds
        assert "0 of 2 acknowledged writes lost" in finding.words

    def test_one_lost(self) -> None:
        finding = no_acknowledged_write_lost(History([append(1), append(2), read(1)]))
        assert finding.holds is False
        assert finding.words == "1 of 2 acknowledged writes lost: 2"

    def test_what_the_names_of_lost_writes_mean_is_said(self) -> None:
        history = History([append("1-7", at=1), append("1-138", at=2), append("12-3", at=3), read("1-7")])
        words = no_acknowledged_write_lost(history).words
        assert words == "2 of 3 acknowledged writes lost: 1-138, 12-3 (1-138: write 138 of client 1)"
        twice = each_write_once(History([append("3-4", at=1), read("3-4", "3-4")])).words
        assert twice == "1 write is there more than once: 3-4 (3-4: write 4 of client 3)"

    def test_the_lost_ones_are_named(self) -> None:
        history = History([append(1), append(2), append(3, UNKNOWN), append(4, FAIL), read(1)])
        assert lost_writes(history) == [2]

    @pytest.mark.parametrize("outcome", [FAIL, UNKNOWN])
    def test_what_was_not_acknowledged_may_be_missing(self, outcome: Outcome) -> None:
        assert holds(no_acknowledged_write_lost(History([append(1), append(2, outcome), read(1)])))

    def test_recovered_is_counted(self) -> None:
        finding = no_acknowledged_write_lost(History([append(1), append(2, UNKNOWN), append(3, UNKNOWN), read(1, 2)]))
        assert finding.holds
        assert "1 of 2 unknown" in finding.words

    @pytest.mark.parametrize(
        "history",
        [
            [],
            [append(1)],
            [read()],
            [append(1, FAIL), read()],
            [append(1, UNKNOWN), read(1)],
            [read(1, at=0.5), append(1)],
        ],
    )
    def test_no_evidence(self, history: list[Operation]) -> None:
        assert holds(no_acknowledged_write_lost(History(history))) is None

    def test_no_evidence_around_the_fault(self) -> None:
        history = History([append(1), append(2), read(1, 2)])
        assert holds(no_acknowledged_write_lost(history, fault=(0.0, 9.0))) is None
        assert holds(no_acknowledged_write_lost(history, fault=(5.0, 9.0))) is None
        assert holds(no_acknowledged_write_lost(history, fault=(1.7, 1.8))) is True

    @given(st.lists(st.sampled_from(list(Outcome)), min_size=1, max_size=40), st.data())
    def test_any_acknowledged_write_removed_is_refused(self, outcomes: list[Outcome], data: st.DataObject) -> None:
        appends = [append(value, outcome) for value, outcome in enumerate(outcomes)]
        acknowledged = [one.value for one in appends if one.outcome is OK]
        there = [one.value for one in appends if one.outcome is not FAIL]
        finding = no_acknowledged_write_lost(History([*appends, read(*there)]))
        assert finding.holds is (True if acknowledged else None)
        if acknowledged:
            gone = data.draw(st.sampled_from(acknowledged))
            left = [value for value in there if value != gone]
            assert holds(no_acknowledged_write_lost(History([*appends, read(*left)]))) is False


class TestEachWriteOnce:
    def test_once(self) -> None:
        assert holds(each_write_once(History([append(1), append(2, UNKNOWN), read(1, 2)])))

    def test_twice(self) -> None:
        finding = each_write_once(History([append(1), read(1, 1)]))
        assert (finding.holds, finding.words) == (False, "1 write is there more than once: 1")

    def test_refused_but_there(self) -> None:
        assert holds(each_write_once(History([append(1), append(2, FAIL), read(1, 2)]))) is False

    @pytest.mark.parametrize("history", [[], [append(1)], [append(1, UNKNOWN), read(1)]])
    def test_no_evidence(self, history: list[Operation]) -> None:
        assert holds(each_write_once(History(history))) is None


def test_how_far_lost_writes_reach_back_before_the_fault() -> None:
    history = History([append(1), append(2), append(3), append(9), read(1, 3)])
    assert lost_reach_back(history, 5.0) == 2.5, "2 was acknowledged at 2.5, and 9 only after the fault"
    assert lost_reach_back(History([append(1), append(9), read(1)]), 5.0) is None
