"""The checker of transactions over two workers, against what is known to be bad."""

from collections.abc import Mapping

import pytest

from support.engine.history import Outcome
from support.sharding.checks import both_or_neither

OK, FAIL, UNKNOWN = Outcome.OK, Outcome.FAIL, Outcome.UNKNOWN
WHOLE, HALF, PART = ({"one": 5, "two": two} for two in (5, 0, 4))
NOWHERE = {"one": 0, "two": 0}


@pytest.mark.parametrize(
    ("told", "found", "holds"),
    [
        (OK, WHOLE, True),
        (OK, NOWHERE, False),
        (OK, HALF, False),
        (OK, PART, False),
        (FAIL, NOWHERE, True),
        (FAIL, WHOLE, False),
        (FAIL, HALF, False),
        (UNKNOWN, WHOLE, True),
        (UNKNOWN, NOWHERE, True),
        (UNKNOWN, HALF, False),
        (UNKNOWN, PART, False),
        (OK, {"one": 5}, None),
        (OK, {}, None),
    ],
)
def test_all_or_nothing(told: Outcome, found: Mapping[str, int], holds: bool | None) -> None:
    assert both_or_neither(told, found, 5).holds is holds


def test_words() -> None:
    words = "the client was told ok, and there are 5 of 5 on one, 0 of 5 on two"
    assert both_or_neither(OK, HALF, 5).words == words
    assert both_or_neither(OK, WHOLE, 0).holds is None
