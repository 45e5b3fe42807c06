"""Opening, using and losing sessions the way that the application does.

The application's pool of sessions: kept open between uses, replaced when one died meanwhile.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from support import sql
from support.errors import Inconclusive


@dataclass(frozen=True)
class Attempt:
    """What came of something that was tried: what was said against it, if anything, and the seconds that it took."""

    error: Exception | None
    seconds: float


def attempt(action: Callable[[], object]) -> Attempt:
    """Try it once. Errors that do not come from the database, or the way to it, are raised."""
    begun = time.monotonic()
    error = sql.error_of(action)
    return Attempt(error, time.monotonic() - begun)


def open_side_by_side(endpoint: sql.Endpoint, count: int, opened: list[sql.Session]) -> None:
    """Add `count` open sessions to `opened`, each in a transaction, so that no pooler can serve two with one backend.

    Raises ConnectFailed or sql.Error at the first that is refused.
    """
    for _ in range(count):
        opened.append(sql.connect(endpoint))
        backend(opened[-1])


def open_idle(endpoint: sql.Endpoint, count: int, opened: list[sql.Session]) -> None:
    """Add `count` open sessions to `opened`, none in a transaction. Raises ConnectFailed at the first refusal."""
    for _ in range(count):
        opened.append(sql.connect(endpoint, autocommit=True))


def backend(session: sql.Session) -> int:
    """The process id of the server's end of a session."""
    return int(sql.value(session, "SELECT pg_backend_pid()"))


def share_a_backend(endpoint: sql.Endpoint, tries: int = 5) -> bool:
    """Whether open sessions that do nothing are served by one backend: a pooler behind which transactions are pooled.

    Such a pooler gives the next statement the backend that was idle last; a server gives each session its own.
    """
    with ExitStack() as opened:
        first, second = (opened.enter_context(sql.session(endpoint)) for _ in range(2))
        return any(backend(first) == backend(second) for _ in range(tries))


def backends(sessions: Iterable[sql.Session]) -> set[int]:
    """The backends of those sessions that answer."""
    found = set()
    for session in sessions:
        with suppress(sql.Error):
            found.add(backend(session))
    return found


def kill_backend(endpoint: sql.Endpoint, pid: int) -> None:
    """Have the server end another session of the same role. Raises Inconclusive when it is not gone in 5 s."""
    if not sql.value(endpoint, "SELECT pg_terminate_backend(%s, 5000)", [pid]):
        raise Inconclusive(f"the session of backend {pid} could not be killed")


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
