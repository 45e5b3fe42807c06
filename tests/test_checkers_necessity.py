"""How much of a scenario's time the lock made necessary."""

from support.engine.history import WriterSample
from support.engine.time_spent import takeovers, waited_for_lock


def look(member: str, at: float, writable: bool | None = True) -> WriterSample:
    return WriterSample(member, at - 0.01, at, writable)


def share(changes: list[float], faults: list[float]) -> float:
    return waited_for_lock(changes, faults, least=19, most=21)


def test_a_takeover_is_when_another_member_is_first_seen_to_write() -> None:
    looks = [look("a", 1), look("b", 1, False), look("a", 2), look("a", 3, None), look("b", 21), look("b", 22)]
    assert takeovers(looks) == [21]
    assert takeovers([*looks, look("a", 30)]) == [21, 30]
    assert takeovers([look("a", 1), look("a", 30)]) == []
    assert takeovers([]) == []


def test_the_lock_s_share_is_the_wait_for_it_and_no_more() -> None:
    assert share([21], [1]) == 20
    assert share([26], [1]) == 21


def test_a_change_that_came_before_a_lock_can_run_out_did_not_wait_for_it() -> None:
    assert share([4], [1]) == 0


def test_each_change_is_put_down_to_the_last_fault_before_it() -> None:
    assert share([22, 50], [0, 2, 29.5]) == 20 + 20.5


def test_without_a_change_or_a_fault_nothing_was_waited_for() -> None:
    assert share([], [1]) == 0
    assert share([21], []) == 0
    assert share([21], [30]) == 0


def test_a_member_that_thaws_and_is_seen_to_write_adds_nothing() -> None:
    assert share([21, 21.2, 21.3, 21.4], [1]) == 20
