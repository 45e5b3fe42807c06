"""Sessions as the application opens, uses and loses them; and its pool, which replaces sessions that died."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from support import sql
from support.errors import ConnectFailed, Inconclusive, NotTried
from support.timeouts import NOTICE, REST
from support.waiting import NotYet, eventually, precondition

_END = 5.0  # seconds for a session that was told to end
_ROOM = """
    SELECT rolconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE usesysid = pg_roles.oid)
      FROM pg_roles WHERE rolname = session_user AND rolconnlimit >= 0 AND NOT rolsuper
"""
_IDENTITY = "SELECT current_setting('server_version_num'), current_database(), session_user"


@dataclass(frozen=True)
class Attempt:
    """The result of an attempt: the error, if there was one, and the seconds that it took."""

    error: Exception | None
    seconds: float


def attempt(action: Callable[[], object]) -> Attempt:
    """Try it once. Raises errors that do not come from the database or the connection to it, such as NotTried."""
    begun = time.monotonic()
    error = sql.error_of(action)
    return Attempt(error, time.monotonic() - begun)


def open_side_by_side(endpoint: sql.Endpoint, count: int, opened: list[sql.Session]) -> None:
    """Add `count` open sessions to `opened`, each in a transaction, so that no pooler can serve two by one backend.

    Raises ConnectFailed or sql.Error at the first that is refused.
    """
    for _ in range(count):
        opened.append(sql.connect(endpoint))
        backend(opened[-1])


def open_idle(endpoint: sql.Endpoint, count: int, opened: list[sql.Session]) -> None:
    """Add `count` open sessions to `opened`, none in a transaction. Raises ConnectFailed at the first refusal."""
    for _ in range(count):
        opened.append(sql.connect(endpoint, autocommit=True))


def open_as_many(endpoint: sql.Endpoint, count: int, opened: list[sql.Session]) -> str:
    """Add up to `count` open sessions to `opened`, as many as there is room for; returns why there are no more.

    A pool, or a role, may have a limit of its own. There is no room if a login is accepted once a session has made room
    for it, and the next one is refused again. Raises ConnectFailed at a refusal for any other reason, and NotTried
    where this machine has no room for more.
    """
    try:
        open_idle(endpoint, count - len(opened), opened)
        return ""
    except NotTried:
        raise
    except ConnectFailed as refused:
        if not opened:
            raise
        opened.pop().close()
        again = partial(sql.connect, endpoint, autocommit=True, statement_timeout=REST)
        opened.append(eventually(again, within=NOTICE, subject="another session", retry_on=(ConnectFailed,)))
        try:
            opened.append(again())
        except NotTried:
            raise
        except ConnectFailed:
            return str(refused)
        raise


def room(where: sql.Endpoint) -> int | None:
    """How many more sessions the role may open beside those that it has; None if it has no limit."""
    found = sql.rows(where, _ROOM)
    return int(found[0][0]) if found else None


def backend(session: sql.Session) -> int:
    """The process id of the server's end of a session."""
    return int(sql.value(session, "SELECT pg_backend_pid()"))


def backends(sessions: Iterable[sql.Session]) -> set[int]:
    """The backends of the sessions that still answer."""
    found = set()
    for session in sessions:
        with suppress(sql.Error):
            found.add(backend(session))
    return found


def kill_backend(endpoint: sql.Endpoint, pid: int) -> None:
    """Have the server end another session of the same role. Raises Inconclusive when it is not gone in 5 s."""
    if not sql.value(endpoint, "SELECT pg_terminate_backend(%s)", [pid]):  # it waits only since PostgreSQL 14
        raise Inconclusive(f"the session of backend {pid} could not be killed")

    def gone() -> None:
        if sql.value(endpoint, "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid]):
            raise NotYet("it is there")

    with precondition(f"the session of backend {pid} could not be killed"):
        eventually(gone, within=_END, subject=f"the session of backend {pid} is gone", retry_on=(ConnectFailed,))


@dataclass(frozen=True)
class Identity:
    """Who is connected to what."""

    version: int
    """The major version of PostgreSQL."""
    database: str
    user: str


def identity(where: sql.Endpoint | sql.Session) -> Identity:
    """The server's version, the database and the user of a session."""
    version, database, user = sql.rows(where, _IDENTITY)[0]
    return Identity(int(version) // 10000, database, user)


def system_identifier(where: sql.Endpoint | sql.Session) -> int:
    """The number that a database system gets when it is created, and shares only with its replicas."""
    return int(sql.value(where, "SELECT system_identifier FROM pg_control_system()"))


T = TypeVar("T")


class SessionPool:
    """Lends at most `size` sessions at a time; thread-safe. `source` is the endpoint to log in to, or a function that
    opens a session in autocommit mode.

    A session is tested before it is lent: that takes one round trip, where a login takes many.
    """

    def __init__(self, source: sql.Endpoint | Callable[[], sql.Session], size: int = 4) -> None:
        self._connect = source if callable(source) else partial(sql.connect, source, autocommit=True)
        self._idle: list[sql.Session] = []
        self._lock = threading.Lock()
        self._places = threading.Semaphore(size)

    @contextmanager
    def session(self) -> Iterator[sql.Session]:
        """A live session in autocommit mode, for this borrower alone. Raises ConnectFailed when there is none."""
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
        """Keep it for the next borrower, unless it is broken or in a transaction."""
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
