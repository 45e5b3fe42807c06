"""Sessions with time limits, and what an error of PostgreSQL means for the operation that met it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2 import errorcodes

from support.deadlines import answer_within
from support.errors import ConnectFailed
from support.history import Outcome
from support.recent_sql import RecordingCursor
from support.timeouts import CONNECT, STATEMENT

GRACE = 15.0
"""Seconds beyond its statement_timeout in which a server has to answer; then it is hung up on."""


class Session(psycopg2.extensions.connection):
    """A session that waits for no answer for ever; a commit can wait for a standby, which no statement_timeout ends."""

    answers_within: float = math.inf
    """Seconds."""

    def commit(self) -> None:
        with answer_within(self, self.answers_within):
            super().commit()

    def rollback(self) -> None:
        with answer_within(self, self.answers_within):
            super().rollback()


Error = psycopg2.Error
"""Any error of a statement; a login that fails is a ConnectFailed."""
CORRUPTED = (psycopg2.errors.DataCorrupted, psycopg2.errors.IndexCorrupted)
"""What a server raises that finds its own data or an index damaged: an answer about the database, no failure to ask."""
Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any] | None
"""Parameters of a statement, by position or by name."""


@dataclass(frozen=True)
class Endpoint:
    """Somewhere to log in, as someone. `name` is how messages speak of it ("the write endpoint")."""

    name: str
    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    """Further libpq parameters, such as sslmode."""

    def as_user(self, user: str, password: str) -> "Endpoint":
        return replace(self, user=user, password=password)

    def __str__(self) -> str:
        return f"{self.name} ({self.host}:{self.port}/{self.database} as {self.user})"


def login_variables(endpoint: Endpoint, application: str) -> dict[str, str]:
    """The environment by which libpq's programs log in there, and how they call themselves."""
    return {
        "PGHOST": endpoint.host,
        "PGPORT": str(endpoint.port),
        "PGDATABASE": endpoint.database,
        "PGUSER": endpoint.user,
        "PGPASSWORD": endpoint.password,
        "PGAPPNAME": application,
        **{f"PG{name.upper()}": value for name, value in endpoint.options.items()},
    }


def connect(
    endpoint: Endpoint,
    *,
    connect_timeout: float = CONNECT,
    statement_timeout: float = STATEMENT,
    autocommit: bool = False,
) -> Session:
    """A new session; times in seconds. Raises ConnectFailed, which names the endpoint and says what happened.

    libpq counts the connect timeout in whole seconds, and takes no less than 2.
    """
    parameters: dict[str, Any] = {
        "host": endpoint.host,
        "port": endpoint.port,
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
    except psycopg2.OperationalError as error:
        why = " ".join(str(error).split())
        raise ConnectFailed(f"{endpoint}: no login after {time.monotonic() - begun:.1f} s: {why}") from error
    session.answers_within = statement_timeout + GRACE
    try:
        session.autocommit = True
        with session.cursor(cursor_factory=psycopg2.extensions.cursor) as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [f"{statement_timeout * 1000:.0f}"])
        session.autocommit = autocommit
    except BaseException:
        session.close()
        raise
    return session


@contextmanager
def session(
    endpoint: Endpoint,
    *,
    connect_timeout: float = CONNECT,
    statement_timeout: float = STATEMENT,
    autocommit: bool = True,
) -> Iterator[Session]:
    """A session that is closed at the end; it commits each statement by itself unless told otherwise."""
    opened = connect(
        endpoint, connect_timeout=connect_timeout, statement_timeout=statement_timeout, autocommit=autocommit
    )
    try:
        yield opened
    finally:
        opened.close()


def rows(where: Endpoint | Session, statement: str, values: Values = None) -> list[Row]:
    """The rows that a statement returns, on an open session or on a new one of its own."""
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
    """Execute a statement; returns the number of rows that it touched."""
    if isinstance(where, Endpoint):
        with session(where) as opened:
            return execute(opened, statement, values)
    with where.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


_ABORTS = frozenset("0A 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 42 44 53 54 55 72 HV P0".split())
"""Classes of SQLSTATE that a server reports of a transaction that it has rolled back.

Not among them: 08, which poolers use for a server connection that died under a client (PgBouncer: 08P01); 57, which
ends statements from without, a commit that waits for a standby included; 58 and XX, errors of the system and internal
ones, with which Citus tells that it lost sight of a worker's commit.
Source: https://www.postgresql.org/docs/16/errcodes-appendix.html
"""


def outcome_of(error: BaseException, *, committing: bool) -> Outcome:
    """What an error means for a transaction that was under way.

    Before its commit was sent, any error means that the transaction certainly did not happen. Once the commit
    (or an autocommitted statement) was sent, an error that is known to be an abort means "fail". All else means
    "unknown": the answer was lost, not necessarily the write.
    """
    if isinstance(error, ConnectFailed) or not committing:
        return Outcome.FAIL
    code = (error.pgcode if isinstance(error, psycopg2.Error) else None) or ""
    aborted = code[:2] in _ABORTS and code != errorcodes.STATEMENT_COMPLETION_UNKNOWN
    return Outcome.FAIL if aborted else Outcome.UNKNOWN


def error_of(action: Callable[[], object]) -> Exception | None:
    """What PostgreSQL, or the way to it, said against `action`; None when it was done. Other errors are raised."""
    try:
        action()
    except (Error, ConnectFailed) as error:
        return error
    return None


def condition_of(error: BaseException | None) -> str:
    """The name that PostgreSQL gives to what went wrong, such as "unique violation"; empty when it gave none."""
    code = (error.pgcode if isinstance(error, Error) else None) or ""
    try:
        return errorcodes.lookup(code).lower().replace("_", " ")
    except KeyError:
        return code
