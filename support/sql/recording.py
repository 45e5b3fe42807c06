"""The last statements, kept for the report of a failure."""

import math
import re
import time
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import psycopg2.extensions

from support.errors import NotAvailable
from support.sql.deadlines import answer_within

KEPT = 10
"""Statements."""
LONGEST = 4000
"""Characters kept of one statement; a vector has about that many."""


@dataclass(frozen=True)
class Sent:
    """One statement, with its values. `at` is in seconds since the epoch."""

    at: float
    statement: str
    whole: bool
    """Whether it was kept in full."""


_SENT: deque[Sent] = deque(maxlen=KEPT)


_LASTS = re.compile(
    r"\s*(SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)|RESET\b|LISTEN\b|PREPARE\s+(?!TRANSACTION))", re.IGNORECASE
)


class RecordingCursor(psycopg2.extensions.cursor):
    """A cursor that records what it sends, and waits for an answer no longer than its session allows."""

    def execute(self, query: Any, vars: Any = None) -> None:
        limit = getattr(self.connection, "answers_within", math.inf)
        if not getattr(self.connection, "keeps_settings", True) and _LASTS.match(str(query)):
            raise NotAvailable(f"behind a pooler, this would leak to its other clients: {query}")
        try:
            cancel = getattr(self.connection, "cancels_after", math.inf)
            with answer_within(self.connection, limit, cancel) if limit < math.inf else nullcontext():
                super().execute(query, vars)
        finally:
            sent = self.query or b""
            text = sent[:LONGEST].decode(errors="replace")
            _SENT.append(Sent(time.time(), text, len(sent) <= LONGEST))


def sent_since(moment: float) -> list[Sent]:
    """The statements sent since `moment` (seconds since the epoch), the earliest first; at most KEPT of them."""
    return [one for one in list(_SENT) if one.at >= moment]
