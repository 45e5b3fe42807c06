"""A cache that was emptied: what counts as filled again, and what as a rush on the database."""

from support.cache.checks import REFILL_READS, each_loaded_at_most, hits_again_after, refilled
from support.engine.history import History, Operation, Outcome

EMPTIED = 10.0


def reads(*kinds: tuple[str, int]) -> History:
    """So many reads of each kind, one each hundredth of a second; "error" is a miss that failed."""
    found, at = [], EMPTIED
    for kind, count in kinds:
        outcome = Outcome.UNKNOWN if kind == "error" else Outcome.OK
        for _ in range(count):
            at += 0.01
            found.append(Operation(0, "miss" if kind == "error" else kind, "k", "v", outcome, at - 0.001, at))
    return History(found)


def test_filled_again() -> None:
    history = reads(("miss", 100), ("hit", REFILL_READS))
    took = hits_again_after(history, EMPTIED)
    assert took is not None
    assert abs(took - 2.8) < 0.02  # when the 180th hit has pushed out the misses
    assert refilled(history, EMPTIED, 3).holds is True
    late = refilled(history, EMPTIED, 2)
    assert (late.holds, late.only_limit) == (False, True)


def test_not_filled_again() -> None:
    found = refilled(reads(("miss", 100), ("hit", 100), ("miss", 200)), EMPTIED, 15)
    assert (found.holds, found.only_limit) == (False, True)
    assert "of the last 200 reads only 0 were hits" in found.words


def test_an_error_is_no_late_answer() -> None:
    found = refilled(reads(("miss", 100), ("error", 1), ("hit", REFILL_READS)), EMPTIED, 15)
    assert (found.holds, found.only_limit) == (False, False)


def test_a_cache_that_was_never_empty_proves_nothing() -> None:
    assert refilled(reads(("hit", 500)), EMPTIED, 15).holds is None
    assert hits_again_after(reads(("hit", 500)), EMPTIED) is None


def test_loads_of_each_entry() -> None:
    once = {str(number).encode(): 1 for number in range(10)}
    assert each_loaded_at_most(2, once, 10).holds is True
    assert each_loaded_at_most(2, {**once, b"3": 2}, 10).holds is True
    assert each_loaded_at_most(2, once, 101).holds is None
    found = each_loaded_at_most(2, {**once, b"3": 40}, 10)
    assert found.holds is False
    assert "49 loads of 10 entries, 40 at most of one (limit: 2)" in found.words
