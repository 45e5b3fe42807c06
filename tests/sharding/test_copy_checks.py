"""Copies of reference tables: a row that differs is told, and a row that is being changed is not."""

from support.sharding.copy_checks import Copy, Reading, copies_agree, is_settled
from support.sharding.reference_copies import copy_of

ROWS = copy_of([(1, 2, "77"), (5, 1, "-3")])
MORE = copy_of([(1, 2, "77"), (5, 1, "-3"), (9, 1, "4")])
OTHER = copy_of([(1, 2, "78"), (5, 1, "-3")])
EMPTY = copy_of([])


def reading(coordinator: Copy, worker: Copy, in_doubt: int = 0, silent: str = "") -> Reading:
    return Reading(
        {"config": {"the coordinator": coordinator, "worker group 1": worker}},
        {"config": silent} if silent else {},
        in_doubt,
    )


def test_copies_that_are_the_same() -> None:
    assert copies_agree([reading(ROWS, ROWS)]).holds is True
    assert "with 3 rows" in copies_agree([reading(ROWS, ROWS)]).words
    assert copies_agree([reading(EMPTY, EMPTY)]).holds is True


def test_a_row_that_stays_different() -> None:
    for worker, told in ((MORE, "3 on the coordinator, 4 on worker group 1"), (OTHER, "3 on worker"), (EMPTY, "0 on")):
        once = reading(ROWS, worker)
        assert copies_agree([once]).holds is None
        assert copies_agree([once, once]).holds is None
        found = copies_agree([once, once, once])
        assert found.holds is False
        assert is_settled([once, once, once])
        assert "the copies of config differ in" in found.words
        assert told in found.words


def test_rows_that_are_being_changed() -> None:
    changing = [reading(ROWS, MORE), reading(OTHER, ROWS), reading(MORE, OTHER), reading(ROWS, MORE)]
    assert copies_agree(changing).holds is None
    assert copies_agree([*changing, reading(MORE, MORE)]).holds is True
    assert copies_agree([reading(ROWS, ROWS), *changing]).holds is True


def test_a_difference_beside_rows_that_are_being_changed() -> None:
    one, two = copy_of([(1, 2, "77"), (6, 1, "8")]), copy_of([(1, 2, "79"), (6, 1, "8")])
    changing = [copy_of([(1, 2, "77"), (5, 1, str(step))]) for step in range(3)]
    found = copies_agree([reading(copy, one) for copy in changing])
    assert found.holds is False
    assert "differ in 1 or more rows" in found.words  # group 6; group 5 changes
    assert copies_agree([reading(two, one)] * 3).holds is False


def without_copy(in_doubt: int = 0) -> Reading:
    """Of a worker that has no copy where Citus lists one."""
    silent = {"config on worker group 1": 'relation "config_102008" does not exist'}
    missing = frozenset({("config", "worker group 1")})
    return Reading({"config": {"the coordinator": ROWS}}, silent, in_doubt, missing)


def test_a_copy_that_stays_missing() -> None:
    found = copies_agree([without_copy()] * 3)
    assert (found.holds, "worker group 1 has no copy of config" in found.words) == (False, True)
    assert "insert them again" not in found.words
    assert copies_agree([without_copy()] * 2).holds is None, "it may be being made, or dropped"
    assert copies_agree([without_copy(), without_copy(), reading(ROWS, ROWS)]).holds is True
    assert copies_agree([without_copy(in_doubt=1)] * 3).holds is None


def test_what_cannot_be_told() -> None:
    assert copies_agree([]).holds is None
    assert copies_agree([Reading({})]).holds is None
    assert copies_agree([reading(ROWS, ROWS, silent="too large")]).holds is None
    assert copies_agree([reading(ROWS, MORE, in_doubt=1)] * 3).holds is None
    assert copies_agree([reading(ROWS, ROWS, in_doubt=1)]).holds is True
    assert copies_agree([Reading({"config": {"the coordinator": ROWS}})]).holds is None
