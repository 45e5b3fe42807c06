"""The application's pool of sessions: kept open between uses, replaced when one died meanwhile."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from support import sql

T = TypeVar("T")


class SessionPool:
    """Lends sessions, `size` at most at a time; safe to use from many threads. `source` is the endpoint to log in to,
    or what opens a session in autocommit mode.

    A session is asked for a sign of life before it is lent: one round trip, against a login that takes tens.
    """

    def __init__(self, source: sql.Endpoint | Callable[[], sql.Session], size: int = 4) -> None:
        self._connect = source if callable(source) else partial(sql.connect, source, autocommit=True)
        self._idle: list[sql.Session] = []
        self._lock = threading.Lock()
        self._places = threading.Semaphore(size)

    @contextmanager
    def session(self) -> Iterator[sql.Session]:
        """A live session in autocommit mode, the borrower's alone. Raises ConnectFailed when none can be had."""
        with self._places:
            lent = self._take()
            try:
                yield lent
            finally:
                self._put_back(lent)

    def use(self, action: Callable[[sql.Session], T]) -> T:
        """What `action` returns, given a session of the pool."""
        with self.session() as lent:
            return action(lent)

    def close(self) -> None:
        """Close the sessions that are not lent."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def __enter__(self) -> "SessionPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> sql.Session:
        while (kept := self._pop()) is not None:
            if _lives(kept):
                return kept
            kept.close()
        return self._connect()

    def _pop(self) -> sql.Session | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _put_back(self, lent: sql.Session) -> None:
        """Keep it for the next borrower, unless it is broken or in the middle of a transaction."""
        if lent.closed or lent.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            lent.close()
            return
        lent.autocommit = True
        with self._lock:
            self._idle.append(lent)


def _lives(session: sql.Session) -> bool:
    with suppress(sql.Error):
        sql.execute(session, "SELECT 1")
        return True
    return False
