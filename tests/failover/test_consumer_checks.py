"""What a logical consumer must not miss: the checks of FO-17."""

from support.engine.history import History, Operation, Outcome
from support.failover.consumer_checks import CHANGE, Received, no_change_missing, repeats

FAULT = 10.0


def changed(number: int, at: float, outcome: Outcome = Outcome.OK, client: int = 0) -> Operation:
    return Operation(client, CHANGE, str(client), number, outcome, at - 0.01, at)


HISTORY = History([changed(number, 8.0 + number) for number in range(5)])
RECEIVED = [Received(0, number, 8.1 + number) for number in range(5)]


def test_every_change_reaches_the_consumer() -> None:
    finding = no_change_missing(HISTORY, RECEIVED, FAULT)
    assert (finding.holds, finding.words) == (True, "5 changes reached the consumer, 0 of them again")


def test_changes_that_come_again_are_counted_and_forgiven() -> None:
    again = [*RECEIVED[:3], *RECEIVED[1:]]
    assert repeats(again) == 2
    assert no_change_missing(HISTORY, again, FAULT).holds is True


def test_a_gap() -> None:
    finding = no_change_missing(HISTORY, [*RECEIVED[:2], *RECEIVED[4:]], FAULT)
    assert finding.holds is False
    assert finding.words == (
        "2 of 5 changes never reached the consumer: client 0's 2, acknowledged 0.0 s before the fault, client 0's 3, "
        "acknowledged 1.0 s after the fault"
    )


def test_the_last_changes_are_late_while_the_consumer_reads_on() -> None:
    late = no_change_missing(HISTORY, RECEIVED[:3], FAULT, reads=True)
    assert (late.holds, late.only_limit) == (False, True)
    assert late.words == "2 of 5 changes have not reached the consumer yet"
    for lost in (
        no_change_missing(HISTORY, RECEIVED[:3], FAULT),  # it cannot read any more
        no_change_missing(HISTORY, [*RECEIVED[:2], *RECEIVED[4:]], FAULT, reads=True),  # it went on past them
    ):
        assert (lost.holds, lost.only_limit) == (False, False)


def test_a_change_without_an_answer_may_be_missing() -> None:
    history = History([*HISTORY, changed(5, 13.0, Outcome.UNKNOWN)])
    assert no_change_missing(history, RECEIVED, FAULT).holds is True


def test_a_change_that_comes_after_a_later_one() -> None:
    finding = no_change_missing(HISTORY, [*RECEIVED[:2], RECEIVED[3], RECEIVED[2], RECEIVED[4]], FAULT)
    assert (finding.holds, finding.words) == (
        False,
        "the consumer received changes out of order: client 0's 2 after its 3",
    )


def test_without_changes_on_both_sides_of_the_fault_nothing_is_known() -> None:
    assert no_change_missing(HISTORY, RECEIVED, 5.0).holds is None
    assert no_change_missing(HISTORY, RECEIVED, 20.0).holds is None
    assert no_change_missing(HISTORY, [Received(0, number, 15.0) for number in range(5)], FAULT).holds is None
