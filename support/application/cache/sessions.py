"""The repository's sessions with the database: kept open between uses, replaced when they are dead."""

import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg2

from support.sql import Session


class Sessions:
    """Lends sessions, one to a borrower. Safe to share between threads."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[Session]:
        """A session in autocommit. After an error it is closed, not lent again."""
        session = self._take() or self._connect()
        try:
            session.autocommit = True
            yield session
        except BaseException:
            session.close()
            raise
        with self._lock:
            if not self._closed:
                return self._idle.append(session)
        return session.close()

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def _take(self) -> Session | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                session = self._idle.pop()
            if _silent(session):
                return session
            with suppress(psycopg2.Error):
                session.close()


def _silent(session: Session) -> bool:
    """Whether an idle session has nothing to say: a server that has ended it said so, or hung up."""
    if session.closed:
        return False
    line = select.poll()
    line.register(session.fileno(), select.POLLIN)
    return not line.poll(0)
