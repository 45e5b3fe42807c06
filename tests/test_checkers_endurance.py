"""Checkers of what a cluster must bear, against what is right, what is wrong, and what is no evidence."""

from hypothesis import given
from hypothesis import strategies as st

from support.engine.checks.availability import each_client_interrupted_for_less_than, nothing_acknowledged
from support.engine.checks.durability import each_applied_once
from support.engine.checks.writers import last_accepted, stopped_in_time
from support.engine.history import History, Operation, Outcome, WriterSample
from support.failover.checks import nothing_changed

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN


def operation(outcome: Outcome, begun: float, ended: float, client: int = 0, key: str = "") -> Operation:
    return Operation(client, "count", key or f"{client}-{begun}", f"{client}-{begun}", outcome, begun, ended)


def look(at: float, writable: bool | None, member: str = "m1") -> WriterSample:
    return WriterSample(member, at, at + 0.01, writable)


class TestStoppedInTime:
    """The fault comes at 10; the lock lasts 5 s more."""

    BEFORE = look(9, True)

    def judged(self, *looks: WriterSample) -> bool | None:
        return stopped_in_time([self.BEFORE, *looks], "m1", 10, 5).holds

    def test_it_stops_and_then_refuses(self) -> None:
        assert self.judged(look(11, True), look(12, None), look(13, False)) is True

    def test_it_stops_at_once(self) -> None:
        assert self.judged(look(11, False)) is True

    def test_it_accepts_when_the_lock_is_gone(self) -> None:
        assert self.judged(look(12, False), look(15.5, True)) is False

    def test_silence_is_no_refusal(self) -> None:
        assert self.judged(look(11, True), look(12, None)) is None

    def test_another_members_refusal_is_not_its_own(self) -> None:
        assert self.judged(look(11, True), look(12, False, "m2")) is None

    def test_it_never_accepted(self) -> None:
        assert stopped_in_time([look(9, False), look(11, False)], "m1", 10, 5).holds is None

    def test_nobody_looked(self) -> None:
        assert stopped_in_time([], "m1", 10, 5).holds is None
        assert last_accepted([], "m1", 10) == 0


class TestStandstill:
    """Nothing may be acknowledged from 10 to 20."""

    def judged(self, *operations: Operation) -> bool | None:
        return nothing_acknowledged(History(operations), "count", 10, 20).holds

    def test_all_are_refused_or_in_doubt(self) -> None:
        assert self.judged(operation(OK, 8, 9), operation(FAIL, 11, 12), operation(UNKNOWN, 11, 14)) is True

    def test_one_is_acknowledged(self) -> None:
        assert self.judged(operation(OK, 8, 9), operation(FAIL, 11, 12), operation(OK, 13, 14)) is False

    def test_what_began_before_may_be_acknowledged(self) -> None:
        assert self.judged(operation(OK, 8, 9), operation(OK, 9.9, 10.1), operation(FAIL, 11, 12)) is True

    def test_nobody_tried(self) -> None:
        assert self.judged(operation(OK, 8, 9), operation(OK, 21, 22)) is None

    def test_nothing_was_ever_acknowledged(self) -> None:
        assert self.judged(operation(FAIL, 11, 12)) is None

    def test_nothing_at_all(self) -> None:
        assert self.judged() is None


class TestExactlyOnce:
    HISTORY = History(
        [
            operation(OK, 1, 2, key="a"),
            operation(UNKNOWN, 3, 4, key="b"),
            operation(FAIL, 5, 6, key="b"),
            operation(OK, 7, 8, key="b"),
        ]
    )

    def test_each_counts_once(self) -> None:
        assert each_applied_once(self.HISTORY, 2).holds is True

    def test_a_repeated_one_counts_twice(self) -> None:
        finding = each_applied_once(self.HISTORY, 3)
        assert finding.holds is False
        assert "3 were applied of 2 acknowledged" in finding.words

    def test_an_acknowledged_one_does_not_count(self) -> None:
        assert each_applied_once(self.HISTORY, 1).holds is False

    def test_what_is_in_doubt_at_the_end_may_count_or_not(self) -> None:
        doubtful = History([*self.HISTORY, operation(UNKNOWN, 9, 10, key="c")])
        assert [each_applied_once(doubtful, counted).holds for counted in (1, 2, 3, 4)] == [False, True, True, False]

    def test_what_certainly_failed_may_not_count(self) -> None:
        assert each_applied_once(History([*self.HISTORY, operation(FAIL, 9, 10, key="c")]), 3).holds is False

    def test_no_answer_was_lost(self) -> None:
        history = History([operation(OK, 1, 2, key="a"), operation(FAIL, 3, 4, key="b"), operation(OK, 5, 6, key="b")])
        assert each_applied_once(history, 2).holds is None

    def test_nothing_was_acknowledged(self) -> None:
        assert each_applied_once(History(), 0).holds is None
        assert each_applied_once(History([operation(UNKNOWN, 1, 2)]), 1).holds is None

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 5))
    def test_more_or_fewer_than_were_acknowledged_is_refused(self, lost: list[int], wrong: int) -> None:
        history = History(
            operation(UNKNOWN if attempt < times else OK, attempt, attempt, client, key=str(client))
            for client, times in enumerate(lost)
            for attempt in range(times + 1)
        )
        assert each_applied_once(history, len(lost)).holds is (True if any(lost) else None)
        assert each_applied_once(history, len(lost) + wrong).holds is False
        assert each_applied_once(history, len(lost) - wrong).holds is False


class TestSteadiness:
    def test_the_same_at_every_look(self) -> None:
        assert nothing_changed([{"primary": {"m1": 1}}] * 3).holds is True

    def test_another_timeline(self) -> None:
        finding = nothing_changed([{"primary": {"m1": 1}}, {"primary": {"m1": 2}}])
        assert finding.holds is False
        assert finding.words == "at look 2 of 2: primary was {'m1': 1}, then {'m1': 2}"

    def test_what_came_back_had_changed_too(self) -> None:
        assert nothing_changed([{"primary": "m1"}, {"primary": "m2"}, {"primary": "m1"}]).holds is False

    def test_one_look_is_none(self) -> None:
        assert nothing_changed([{"primary": "m1"}]).holds is None
        assert nothing_changed([]).holds is None


class TestEachClient:
    """The fault comes at 10; nobody may wait for 5 s."""

    def judged(self, *operations: Operation) -> bool | None:
        return each_client_interrupted_for_less_than(5, History(operations), "count", 10).holds

    def test_all_go_on(self) -> None:
        assert self.judged(*(operation(OK, at, at, client) for at in (9, 12, 15) for client in (0, 1))) is True

    def test_one_waits_while_the_others_go_on(self) -> None:
        others = [operation(OK, at, at, 0) for at in (9, 12, 15)]
        assert self.judged(*others, operation(OK, 9, 9, 1), operation(OK, 15, 15, 1)) is False

    def test_one_never_comes_back(self) -> None:
        others = [operation(OK, at, at, 0) for at in (9, 12, 15)]
        assert self.judged(*others, operation(OK, 9, 9, 1), operation(UNKNOWN, 12, 15, 1)) is False

    def test_one_was_never_there(self) -> None:
        others = [operation(OK, at, at, 0) for at in (9, 12)]
        assert self.judged(*others, operation(OK, 12, 12, 1)) is None

    def test_nobody_was_there(self) -> None:
        assert self.judged() is None
