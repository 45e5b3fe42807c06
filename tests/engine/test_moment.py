"""What a scenario does right now."""

import time
from dataclasses import replace

from support.engine.history import History, Operation, Outcome
from support.engine.moment import acknowledged_lately


def test_only_operations_acknowledged_in_the_last_second_count() -> None:
    now = time.monotonic()
    one = Operation(1, "write", "k", 1, Outcome.OK, now - 0.2, now - 0.1)
    old = replace(one, begun=now - 5, ended=now - 4)
    history = History([old, one, replace(one, outcome=Outcome.FAIL), replace(one, outcome=Outcome.UNKNOWN), one])
    assert acknowledged_lately(history) == 2
    assert acknowledged_lately(history, 10.0) == 0.3
    assert acknowledged_lately(History()) == 0
