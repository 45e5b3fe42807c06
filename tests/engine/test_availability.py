"""Availability: the gaps between acknowledged operations, of all clients together and of each."""

from dataclasses import replace

import pytest

from support.engine.checks.availability import (
    Gap,
    each_client_interrupted_for_less_than,
    every_client_got_through,
    interrupted_for_less_than,
    longest_gap,
    nothing_acknowledged,
    watched_to_the_end,
)
from support.engine.history import History, Operation, Outcome

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN


def operation(outcome: Outcome, begun: float, ended: float, client: int = 0, key: str = "") -> Operation:
    return Operation(client, "count", key or f"{client}-{begun}", f"{client}-{begun}", outcome, begun, ended)


def append(value: int, outcome: Outcome = OK, at: float | None = None) -> Operation:
    begun = float(value if at is None else at)
    return Operation(0, "append", "ledger", value, outcome, begun, begun + 0.5)


class TestInterruption:
    history = History([append(1), append(2), append(3, FAIL), append(10), append(11)])

    def test_the_gap_is_between_acknowledged_ends(self) -> None:
        gap = longest_gap(self.history, "append", since=2.7)
        assert gap is not None
        assert (gap.begun, gap.ended, gap.seconds) == (2.5, 10.5, 8.0)

    def test_a_gap_before_the_fault_does_not_count(self) -> None:
        gap = longest_gap(self.history, "append", since=10.6)
        assert gap is not None
        assert gap.seconds == 1.0

    @pytest.mark.parametrize(("limit", "expected"), [(8.1, True), (8.0, False), (5, False)])
    def test_limit(self, limit: float, expected: bool) -> None:
        assert interrupted_for_less_than(limit, self.history, "append", since=2.7).holds is expected

    def test_never_again(self) -> None:
        history = History([append(1), append(9, FAIL)])
        finding = interrupted_for_less_than(30, history, "append", since=2)
        assert (finding.holds, finding.during) == (False, ((2, 9.5),))

    def test_each_gap_that_is_too_long_is_told(self) -> None:
        """Whoever excuses one of them has not excused the others."""
        history = History([append(one, at=one) for one in (1, 2, 42, 43, 78, 79, 99)])
        finding = interrupted_for_less_than(30, history, "append", since=2.6, until=140)
        assert finding.during == ((2.5, 42.5), (43.5, 78.5), (99.5, 140))
        assert finding.words == "clients were interrupted for 40.50 s and had not recovered by the end (limit: 30 s)"

    def test_no_evidence(self) -> None:
        assert interrupted_for_less_than(30, self.history, "append", since=0).holds is None


class TestWatchedUntil:
    """The fault comes at 10; clients are interrupted until 22, and watched on."""

    first = (append(9), append(22), append(23))

    def judged(self, *later: Operation, until: float) -> bool | None:
        return interrupted_for_less_than(30, History([*self.first, *later]), "append", 10, until).holds

    def test_service_comes_back_and_stays(self) -> None:
        assert self.judged(append(30), append(47), until=48) is True

    def test_a_second_outage_that_ends(self) -> None:
        assert self.judged(append(84), append(85), until=85.6) is False

    def test_a_second_outage_that_lasts(self) -> None:
        finding = interrupted_for_less_than(30, History(self.first), "append", 10, 60)
        assert finding.holds is False
        assert finding.only_limit
        assert finding.words == "clients were interrupted for 36.50 s and had not recovered by the end (limit: 30 s)"
        assert finding.during == ((23.5, 60),)

    def test_what_follows_the_watched_time_is_not_judged(self) -> None:
        assert self.judged(append(90), until=25) is True

    def test_the_gap_before_the_first_acknowledgement_begins_with_the_fault(self) -> None:
        assert longest_gap(History([append(40), append(41)]), "append", since=10, until=42) == Gap(10, 40.5)

    def test_nothing_at_all_is_a_gap_of_the_whole_time(self) -> None:
        assert longest_gap(History(), "append", since=10, until=42) == Gap(10, 42)
        assert interrupted_for_less_than(60, History([append(9)]), "append", 10, until=42).holds is False

    def test_they_are_watched_from_when_service_is_back(self) -> None:
        assert watched_to_the_end(Gap(9.5, 22.5), since=11, follow_up=24) == 46.5

    @pytest.mark.parametrize("gap", [None, Gap(9.5, 10.2), Gap(30, 30.9)])
    def test_without_an_interruption_they_are_watched_from_the_fault_on(self, gap: Gap | None) -> None:
        assert watched_to_the_end(gap, since=11, follow_up=24) == 35


class TestEveryClientGotThrough:
    """Everybody is watched from 30 to 40."""

    def judged(self, *operations: Operation) -> bool | None:
        return every_client_got_through(History(operations), "count", 2, 30, 40).holds

    def test_both_did(self) -> None:
        assert self.judged(operation(OK, 31, 32, 0), operation(OK, 29, 31, 1)) is True

    def test_one_hangs_in_its_operation_while_the_other_goes_on(self) -> None:
        history = History([operation(OK, 9, 10, 1), *(operation(OK, at, at, 0) for at in (9, 20, 31, 39))])
        finding = every_client_got_through(history, "count", 2, 30, 40)
        assert finding.holds is False
        assert finding.never_came
        assert finding.words == "1 of 2 clients had no operation acknowledged: client 1 for 30.0 s"
        assert finding.during == ((30, 40),), "that is when they were waited for"

    def test_one_gets_nothing_but_errors(self) -> None:
        assert self.judged(operation(OK, 31, 32, 0), operation(FAIL, 31, 32, 1), operation(UNKNOWN, 33, 37, 1)) is False

    def test_one_never_worked(self) -> None:
        finding = every_client_got_through(History([operation(OK, 31, 32, 0)]), "count", 2, 30, 40)
        assert finding.words.endswith("client 1 at any time")

    def test_afterwards_is_too_late(self) -> None:
        assert self.judged(operation(OK, 31, 32, 0), operation(OK, 41, 42, 1)) is False


WAITED = (9, 16, 20, 24), (9, 13, 18, 24)
"""When something was acknowledged to either of two clients."""


class TestEachClient:
    """The fault comes at 10; nobody may wait for 5 s."""

    def judged(self, *operations: Operation) -> bool | None:
        return each_client_interrupted_for_less_than(5, History(operations), "count", 10).holds

    def test_all_go_on(self) -> None:
        assert self.judged(*(operation(OK, at, at, client) for at in (9, 12, 15) for client in (0, 1))) is True

    def test_one_waits_while_the_others_go_on(self) -> None:
        others = [operation(OK, at, at, 0) for at in (9, 12, 15)]
        assert self.judged(*others, operation(OK, 9, 9, 1), operation(OK, 15, 15, 1)) is False

    def test_each_one_waits_at_a_time_of_its_own(self) -> None:
        one, other = ([operation(OK, at, at, client) for at in times] for client, times in enumerate(WAITED))
        finding = each_client_interrupted_for_less_than(5, History([*one, *other]), "count", 10)
        assert (finding.holds, finding.during) == (False, ((9, 16), (13, 18), (18, 24)))

    def test_one_never_comes_back(self) -> None:
        others = [operation(OK, at, at, 0) for at in (9, 12, 15)]
        assert self.judged(*others, operation(OK, 9, 9, 1), operation(UNKNOWN, 12, 15, 1)) is False

    def test_one_was_never_there(self) -> None:
        others = [operation(OK, at, at, 0) for at in (9, 12)]
        assert self.judged(*others, operation(OK, 12, 12, 1)) is None

    def test_nobody_was_there(self) -> None:
        assert self.judged() is None


class TestStandstill:
    """Nothing may be acknowledged from 10 to 20."""

    def judged(self, *operations: Operation) -> bool | None:
        return nothing_acknowledged(History(operations), "count", 10, 20).holds

    def test_all_are_refused_or_in_doubt(self) -> None:
        assert self.judged(operation(OK, 8, 9), operation(FAIL, 11, 12), operation(UNKNOWN, 11, 14)) is True

    def test_one_is_acknowledged(self) -> None:
        assert self.judged(operation(OK, 8, 9), operation(FAIL, 11, 12), operation(OK, 13, 14)) is False

    def test_what_the_name_of_a_write_means_is_said(self) -> None:
        named = replace(operation(OK, 13, 14), value="1-71")
        words = nothing_acknowledged(History([operation(OK, 8, 9), named]), "count", 10, 20).words
        assert words == "1 of 1 writes were acknowledged: 1-71 after 4.00 s (1-71: write 71 of client 1)"

    def test_what_began_before_may_be_acknowledged(self) -> None:
        assert self.judged(operation(OK, 8, 9), operation(OK, 9.9, 10.1), operation(FAIL, 11, 12)) is True

    def test_nobody_tried(self) -> None:
        assert self.judged(operation(OK, 8, 9), operation(OK, 21, 22)) is None

    def test_nothing_was_ever_acknowledged(self) -> None:
        assert self.judged(operation(FAIL, 11, 12)) is None

    def test_nothing_at_all(self) -> None:
        assert self.judged() is None
