"""The last statements that were sent to any database, kept for the report of a failure."""

import math
import time
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import psycopg2.extensions

from support.deadlines import answer_within

KEPT = 10
"""Statements."""
UNBOUNDED = math.inf
LONGEST = 4000
"""Characters of one statement; a vector has about that many."""


@dataclass(frozen=True)
class Sent:
    """One statement, with its values, as it was sent. `at` is in seconds since the epoch."""

    at: float
    statement: str
    whole: bool
    """Whether all of it was kept."""


_SENT: deque[Sent] = deque(maxlen=KEPT)


class RecordingCursor(psycopg2.extensions.cursor):
    """A cursor that keeps what it sends, and waits no longer for an answer than its session does."""

    def execute(self, query: Any, vars: Any = None) -> None:
        patience = getattr(self.connection, "answers_within", UNBOUNDED)
        try:
            with answer_within(self.connection, patience) if patience < UNBOUNDED else nullcontext():
                super().execute(query, vars)
        finally:
            sent = self.query or b""
            text = sent[:LONGEST].decode(errors="replace")
            _SENT.append(Sent(time.time(), text, len(sent) <= LONGEST))


def sent_since(moment: float) -> list[Sent]:
    """What was sent since then (seconds since the epoch), at most the last ones; the earliest first."""
    return [one for one in list(_SENT) if one.at >= moment]
