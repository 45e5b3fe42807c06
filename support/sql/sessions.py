"""Sessions that never wait without a limit, and statements in them."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from support.errors import ConnectFailed, NotTried
from support.sql.deadlines import answer_within
from support.sql.endpoints import Endpoint
from support.sql.errors import Error, not_tried
from support.sql.recording import RecordingCursor
from support.timeouts import CONNECT, STATEMENT

Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any] | None
"""Parameters of a statement, by position or by name."""
GRACE = 15.0
"""Seconds after its statement_timeout within which a server must answer; then the client closes the connection."""


class Session(psycopg2.extensions.connection):
    """A session that waits for each answer, including that of a commit, only for a limited time."""

    answers_within: float = math.inf
    """Seconds."""
    cancels_after: float = math.inf
    """Seconds after which the client asks the server to cancel a statement; infinite if the server does so itself."""
    own_backend: bool = False
    """Whether the server itself answered the login, so no pooler lends this backend to other clients."""
    keeps_settings: bool = False
    """Whether session settings last for the session, and end with it."""

    def commit(self) -> None:
        with answer_within(self, self.answers_within):
            super().commit()

    def rollback(self) -> None:
        with answer_within(self, self.answers_within):
            super().rollback()


_SET_LIMIT = "set_config('statement_timeout', %(milliseconds)s, false)"
_LIMIT = f"SELECT CASE WHEN pg_backend_pid() = %(announced)s THEN {_SET_LIMIT} END"
"""Sets a session's statement_timeout unless that would affect other clients, too; then it returns NULL.

A server announces its backend's process id at the login. A pooler answers the login itself, with a made-up number. It
lends backends to one transaction after another, and settings persist there for its other clients. So the statement
sets the limit only if it runs in the backend that was announced.
"""


_REFUSED = (psycopg2.OperationalError, UnicodeDecodeError)
"""What a failed login raises: the second, where the server's words are not in UTF-8."""


def _words(error: psycopg2.Error | UnicodeDecodeError) -> str:
    """What the server said, in one line. Some Pythons (3.11.2, for one) leave an empty error where
    its words are not in UTF-8."""
    said = error.object.decode(errors="replace") if isinstance(error, UnicodeDecodeError) else str(error)
    return " ".join(said.split()) or "FATAL: (in words that are not in UTF-8)"


def connect(
    endpoint: Endpoint,
    *,
    connect_timeout: float = CONNECT,
    statement_timeout: float = STATEMENT,
    usable_within: float = math.inf,
    autocommit: bool = False,
) -> Session:
    """A new session; times in seconds. Raises ConnectFailed, which names the endpoint and says what happened; NotTried
    if that was due to this machine.

    libpq's connect timeout is in whole seconds, 2 at least. A pooler that answers the login may still have no server:
    it is waited for until `usable_within` seconds are over in all, at most as long as for any other statement.
    """
    hosts, ports = endpoint.hosts_and_ports
    parameters: dict[str, Any] = {
        "host": hosts,
        "port": ports,
        "dbname": endpoint.database,
        "user": endpoint.user,
        "password": endpoint.password,
        "connect_timeout": max(2, round(connect_timeout)),
        "tcp_user_timeout": int(statement_timeout * 1000),
        "keepalives_idle": 2,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": "accept",
        "cursor_factory": RecordingCursor,
        "connection_factory": Session,
        **endpoint.options,
    }
    begun = time.monotonic()
    try:
        session: Session = psycopg2.connect(**parameters)
    except _REFUSED as error:
        failed = f"{endpoint}: no login after {time.monotonic() - begun:.1f} s"
        if not_tried(error):
            raise NotTried(f"{failed}, as this machine could not try: {_words(error)}") from error
        raise ConnectFailed(f"{failed}: {_words(error)}") from error
    session.answers_within = statement_timeout + GRACE
    limit = f"SELECT {_SET_LIMIT}" if endpoint.session_pooling else _LIMIT
    values = {"announced": session.info.backend_pid, "milliseconds": f"{statement_timeout * 1000:.0f}"}
    try:
        session.autocommit = True
        with session.cursor(cursor_factory=psycopg2.extensions.cursor) as cursor:
            left = round(max(0.0, begun + usable_within - time.monotonic()), 1)
            with answer_within(session, min(session.answers_within, left)):  # a pooler may wait long for a server
                cursor.execute(limit, values)
            session.keeps_settings = cursor.fetchall() != [(None,)]
        session.own_backend = session.keeps_settings and not endpoint.session_pooling
        if not session.keeps_settings:
            session.cancels_after = statement_timeout
        session.autocommit = autocommit
    except psycopg2.Error as error:  # a pooler without a server, a server that is shutting down
        session.close()
        raise ConnectFailed(f"{endpoint}: the session ended right after the login: {_words(error)}") from error
    except BaseException:
        session.close()
        raise
    return session


def effective(name: str, given: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """All parameters of a login, and its password, for which libpq has filled in what was not given.

    Raises ConnectFailed, which names the endpoint by `name`.
    """
    parameters: dict[str, Any] = {"connect_timeout": round(CONNECT), "application_name": "accept", **given}
    try:
        opened = psycopg2.connect(**parameters)
    except _REFUSED as error:
        raise ConnectFailed(f"{name}: no login: {_words(error)}") from None
    try:
        if "bouncer" in (opened.info.parameter_status("server_version") or ""):
            raise ConnectFailed(f"{name}: database {opened.info.dbname} is PgBouncer's admin console")
        return dict(opened.info.dsn_parameters), opened.info.password or ""
    finally:
        opened.close()


@contextmanager
def session(
    endpoint: Endpoint,
    *,
    connect_timeout: float = CONNECT,
    statement_timeout: float = STATEMENT,
    autocommit: bool = True,
) -> Iterator[Session]:
    """A session that is closed at the end; in autocommit mode unless told otherwise."""
    opened = connect(
        endpoint, connect_timeout=connect_timeout, statement_timeout=statement_timeout, autocommit=autocommit
    )
    try:
        yield opened
    finally:
        opened.close()


def rows(where: Endpoint | Session, statement: str, values: Values = None) -> list[Row]:
    """The rows that a statement returns, in an open session or in a new one."""
    if isinstance(where, Endpoint):
        with session(where) as opened:
            return rows(opened, statement, values)
    with where.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def value(where: Endpoint | Session, statement: str, values: Values = None) -> Any:
    """The one value that a statement returns. Raises LookupError when it returns no row."""
    found = rows(where, statement, values)
    if not found:
        raise LookupError(f"no row from: {statement}")
    return found[0][0]


def execute(where: Endpoint | Session, statement: str, values: Values = None) -> int:
    """Execute a statement; returns the number of affected rows."""
    if isinstance(where, Endpoint):
        with session(where) as opened:
            return execute(opened, statement, values)
    with where.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


@contextmanager
def settings(session: Session, **values: str) -> Iterator[None]:
    """Statements in the block have these settings. If settings do not last, the block is a single transaction."""
    alone = not session.keeps_settings and session.get_transaction_status() == TRANSACTION_STATUS_IDLE
    if alone:
        execute(session, "BEGIN")
    try:
        for name, value in values.items():
            given = [name.replace("__", "."), value, not session.keeps_settings]
            execute(session, "SELECT set_config(%s, %s, %s)", given)
        yield
    finally:
        if alone:
            with suppress(Error):
                execute(session, "ROLLBACK")
