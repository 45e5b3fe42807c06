"""Sessions with the database that a cache repository is given: what it loads is counted, and can be held back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2.extensions

from support import sql
from support.errors import Inconclusive
from support.timeouts import STATEMENT
from support.waiting import pause


class WatchedSessions:
    """Opens sessions on which every load (a SELECT on the table of entries) is seen.

    Nothing is changed: the database answers, and only the way back to the repository is watched. Safe to share
    between threads.
    """

    def __init__(self, endpoint: sql.Endpoint, table: str) -> None:
        self.delay = 0.0
        """Seconds by which each answer to a load is late."""
        self.loads = 0
        """How many loads were answered until now."""
        self._endpoint, self._table = endpoint, table.encode()
        self._lock = threading.Lock()
        self._answered, self._gate = threading.Event(), threading.Event()
        self._gate.set()
        self._opened: list[sql.Session] = []
        self._cursor = _cursor_that_reports_to(self)

    def connect(self) -> sql.Session:
        """One more session, in autocommit."""
        session = sql.connect(self._endpoint, autocommit=True)
        self._opened.append(session)
        session.cursor_factory = self._cursor
        return session

    @contextmanager
    def holding_answers(self) -> Iterator[None]:
        """Until the end, the answer to a load is on its way and does not arrive."""
        self._answered.clear()
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    def await_held_answer(self, within: float) -> None:
        """Wait until the database has answered a load. Raises Inconclusive when none comes."""
        if not self._answered.wait(within):
            raise Inconclusive("the cache repository loaded nothing through the sessions that it was given")

    def close(self) -> None:
        """Close every session that was opened, also those that the repository forgot."""
        for session in self._opened:
            session.close()

    def executed(self, statement: bytes) -> None:
        """A statement was executed on one of the sessions."""
        if not statement.lstrip().upper().startswith(b"SELECT") or self._table not in statement:
            return
        with self._lock:
            self.loads += 1
        self._answered.set()
        if self.delay:
            pause(self.delay)
        self._gate.wait(STATEMENT)


def _cursor_that_reports_to(sessions: WatchedSessions) -> type[psycopg2.extensions.cursor]:
    class WatchedCursor(psycopg2.extensions.cursor):
        def execute(self, query: str | bytes, vars: sql.Values = None) -> None:  # type: ignore[override]
            super().execute(query, vars)
            sessions.executed(self.query or b"")

    return WatchedCursor
