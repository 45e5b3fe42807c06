"""What is said when the state after an interrupted move is not reached: what is late, and what is lost."""

import importlib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest

from support.errors import LimitExceeded, NotInTime
from support.sharding.handover import MoveHandover
from support.waiting import NotYet


@dataclass
class _Tables:
    """All that is asked of the tables here."""

    rows: int


def handover(rows: int) -> MoveHandover:
    return cast(MoveHandover, SimpleNamespace(tables=_Tables(rows), planned=SimpleNamespace(rows=10)))


def never() -> None:
    raise NotYet("a subscription is left")


def test_what_is_left_behind_may_be_late_and_rows_that_are_missing_are_lost() -> None:
    """A rerun may clear the one, and never the other."""
    steps = importlib.import_module("steps.sharding.rebalancing_steps")
    with pytest.raises(NotInTime, match="a subscription is left"):
        steps._await(handover(10), never, 0.01, "nothing is left")
    with pytest.raises(AssertionError, match="there are 9 entries, and there were 10") as lost:
        steps._await(handover(9), never, 0.01, "nothing is left")
    assert not isinstance(lost.value, LimitExceeded)
