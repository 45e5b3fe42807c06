"""One operation after another by one client, each recorded."""

import time
from collections.abc import Callable
from typing import Any

from support import sql
from support.history import History, Operation, Outcome
from support.waiting import describe


def record(history: History, action: str, key: str, perform: Callable[[], Any]) -> Any:
    """Perform it, record how long it took and what came of it, and return its answer; None when it was refused."""
    begun = time.monotonic()
    answer, refused = None, None

    def ask() -> None:
        nonlocal answer
        answer = perform()

    refused = sql.error_of(ask)
    ended = time.monotonic()
    outcome = Outcome.OK if refused is None else sql.outcome_of(refused, committing=True)
    said = "" if refused is None else describe(refused)
    history.append(Operation(0, action, key, answer, outcome, begun, ended, said))
    return answer
