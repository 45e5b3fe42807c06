"""How much of a scenario's time was spent waiting for the lock to expire."""

from support.engine.history import WriterSample
from support.engine.time_spent import takeovers, waited_for_lock


def sample(member: str, at: float, writable: bool | None = True) -> WriterSample:
    return WriterSample(member, at - 0.01, at, writable)


def waited(changes: list[float], faults: list[float]) -> float:
    return waited_for_lock(changes, faults, least=19, most=21)


def test_a_takeover_is_when_another_member_is_first_seen_to_write() -> None:
    samples = [
        sample("a", 1),
        sample("b", 1, False),
        sample("a", 2),
        sample("a", 3, None),
        sample("b", 21),
        sample("b", 22),
    ]
    assert takeovers(samples) == [21]
    assert takeovers([*samples, sample("a", 30)]) == [21, 30]
    assert takeovers([sample("a", 1), sample("a", 30)]) == []
    assert takeovers([]) == []


def test_the_wait_for_the_lock_counts_and_no_more() -> None:
    assert waited([21], [1]) == 20
    assert waited([26], [1]) == 21


def test_a_change_before_the_lock_can_expire_did_not_wait_for_it() -> None:
    assert waited([4], [1]) == 0


def test_each_change_is_attributed_to_the_last_fault_before_it() -> None:
    assert waited([22, 50], [0, 2, 29.5]) == 20 + 20.5


def test_without_a_change_or_a_fault_nothing_was_waited_for() -> None:
    assert waited([], [1]) == 0
    assert waited([21], []) == 0
    assert waited([21], [30]) == 0


def test_a_thawed_member_that_seems_to_write_adds_nothing() -> None:
    assert waited([21, 21.2, 21.3, 21.4], [1]) == 20
