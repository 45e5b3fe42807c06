"""SQL: endpoints, sessions whose every wait is bounded, and statements.

A statement_timeout ends what the server can interrupt. It does not end a backend that is frozen, or that waits for a
lost disk or for a lock that only it could release; nor a commit that waits for a standby. So the client closes the
connection when there is no answer in time. The last statements are kept for the report of a failure.
"""

import math
import os
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2 import errorcodes
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from support import libpq
from support.errors import ConnectFailed, NotAvailable
from support.timeouts import CONNECT, STATEMENT
from support.vocabulary import Kind

Error = psycopg2.Error
"""Any error of a statement; a failed login is a ConnectFailed."""
CORRUPTED = (psycopg2.errors.DataCorrupted, psycopg2.errors.IndexCorrupted)
"""The errors of a server that finds its data or an index corrupted: evidence about the database."""
Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any] | None
"""Parameters of a statement, by position or by name."""
GRACE = 15.0
"""Seconds after its statement_timeout within which a server must answer; then the client closes the connection."""
_LOOK = 0.5  # seconds between two checks for overdue answers


_REFUSALS = (
    "authentication failed",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "is not permitted to log in",
    "permission denied for database",
)
_UNKNOWN = re.compile(r'(role|database) "[^"]*" does not exist')


def tells_of_refusal(words: str) -> bool:
    """Whether these words quote a server that refused a login for good, as opposed to one that is slow or not ready.

    Only for servers whose messages are in English; libpq does not tell the SQLSTATE of a failed login.
    """
    return any(refusal in words for refusal in _REFUSALS) or _UNKNOWN.search(words) is not None


@dataclass(frozen=True)
class Endpoint:
    """A database to log in to, with a login. `name` is its name in messages ("the write endpoint").

    `host` may be the folder of a Unix socket.
    """

    name: str
    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)
    """Further libpq parameters, such as sslmode."""
    further: Sequence[tuple[str, int]] = ()
    """Further hosts and ports: libpq tries them in turn, as `target_session_attrs` says."""
    session_pooling: bool = False
    """Whether a pooler there is known to give each session a backend of its own, and to reset it afterwards. Whatever
    is set behind another one is left to its other clients. A server needs no such mark: each login shows it."""

    def as_user(self, user: str, password: str) -> "Endpoint":
        return replace(self, user=user, password=password)

    def at(self, name: str, host: str, port: int) -> "Endpoint":
        """The same login at one host, whatever state its server is in."""
        options = {name: value for name, value in self.options.items() if name not in libpq.OF_HOSTS}
        return replace(self, name=name, host=host, port=port, options=options, further=(), session_pooling=False)

    @property
    def hosts(self) -> tuple[tuple[str, int], ...]:
        """Every host and port."""
        return ((self.host, self.port), *((host, port) for host, port in self.further))

    @property
    def each(self) -> "tuple[Endpoint, ...]":
        """One endpoint for each of the hosts."""
        if not self.further:
            return (self,)
        at = self.options.get("hostaddr", "").split(",")
        addresses = at if len(at) == len(self.hosts) else [""] * len(self.hosts)
        alone = [
            (replace(self.at(self.name, *place), session_pooling=self.session_pooling), one)
            for place, one in zip(self.hosts, addresses, strict=True)
        ]
        return tuple(replace(one, options={**one.options, "hostaddr": ip} if ip else one.options) for one, ip in alone)

    @property
    def where(self) -> str:
        """Its hosts and ports, for messages."""
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)

    @property
    def _hosts_and_ports(self) -> tuple[str, str]:
        """As libpq writes them."""
        return ",".join(host for host, _ in self.hosts), ",".join(str(port) for _, port in self.hosts)

    def __str__(self) -> str:
        return f"{self.name} ({self.where}/{self.database} as {self.user})"


class Session(psycopg2.extensions.connection):
    """A session that waits for each answer, that of a commit included, for a bounded time."""

    answers_within: float = math.inf
    """Seconds."""
    cancels_after: float = math.inf
    """Seconds after which the client asks the server to cancel a statement; infinite if the server does by itself."""
    own_backend: bool = False
    """Whether the server itself answered the login, so that no pooler lends its backend to others."""
    keeps_settings: bool = False
    """Whether what is set for the session lasts, and ends with it."""

    def commit(self) -> None:
        with answer_within(self, self.answers_within):
            super().commit()

    def rollback(self) -> None:
        with answer_within(self, self.answers_within):
            super().rollback()


def login_variables(endpoint: Endpoint, application: str) -> dict[str, str]:
    """The environment by which libpq's programs log in there; `application` is their application_name, by default.

    Parameters for which libpq has no variable are left out.
    """
    hosts, ports = endpoint._hosts_and_ports
    return {
        "PGHOST": hosts,
        "PGPORT": ports,
        "PGDATABASE": endpoint.database,
        "PGUSER": endpoint.user,
        "PGPASSWORD": endpoint.password,
        "PGAPPNAME": application,
        **{name: value for option, value in endpoint.options.items() if (name := libpq.variable_of(option))},
    }


_SET_LIMIT = "set_config('statement_timeout', %(milliseconds)s, false)"
_LIMIT = f"SELECT CASE WHEN pg_backend_pid() = %(announced)s THEN {_SET_LIMIT} END"
"""Limits the statements of a session where nobody else's would be limited, too; else it returns NULL.

A server announces its backend's process id at the login. A pooler answers the login itself, with a number of its own,
and what is set in a backend that it lends to one transaction after another stays there for its other clients. So the
statement that sets the limit has to find itself in the backend that was announced.
"""


def connect(
    endpoint: Endpoint,
    *,
    connect_timeout: float = CONNECT,
    statement_timeout: float = STATEMENT,
    autocommit: bool = False,
) -> Session:
    """A new session; times in seconds. Raises ConnectFailed, which names the endpoint and says what happened.

    libpq's connect timeout is in whole seconds, 2 at least.
    """
    hosts, ports = endpoint._hosts_and_ports
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
    except psycopg2.OperationalError as error:
        why = " ".join(str(error).split())
        raise ConnectFailed(f"{endpoint}: no login after {time.monotonic() - begun:.1f} s: {why}") from error
    session.answers_within = statement_timeout + GRACE
    limit = f"SELECT {_SET_LIMIT}" if endpoint.session_pooling else _LIMIT
    values = {"announced": session.info.backend_pid, "milliseconds": f"{statement_timeout * 1000:.0f}"}
    try:
        session.autocommit = True
        with session.cursor(cursor_factory=psycopg2.extensions.cursor) as cursor:
            with answer_within(session, session.answers_within):  # a pooler may wait long for a server
                cursor.execute(limit, values)
            session.keeps_settings = cursor.fetchall() != [(None,)]
        session.own_backend = session.keeps_settings and not endpoint.session_pooling
        if not session.keeps_settings:
            session.cancels_after = statement_timeout
        session.autocommit = autocommit
    except psycopg2.Error as error:  # a pooler without a server, a server that is shutting down
        session.close()
        why = " ".join(str(error).split())
        raise ConnectFailed(f"{endpoint}: the session ended right after the login: {why}") from error
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
    except psycopg2.OperationalError as error:
        raise ConnectFailed(f"{name}: no login: {' '.join(str(error).split())}") from None
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
    """Statements of the block have these settings. Where settings do not last, the block is one transaction."""
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


def error_of(action: Callable[[], object]) -> Exception | None:
    """The error of PostgreSQL, or of the connection to it, in `action`; None if it succeeded. Raises other errors."""
    try:
        action()
    except (Error, ConnectFailed) as error:
        return error
    return None


CONDITION = Kind.of(
    "condition of PostgreSQL",
    sorted({name.lower().replace("_", " ") for name in vars(errorcodes) if name.isupper() and "CLASS" not in name}),
)
"""PostgreSQL's names of errors, such as "unique violation"."""


def condition_of(error: BaseException | None) -> str:
    """PostgreSQL's name of an error, such as "unique violation"; empty if it has none."""
    code = (error.pgcode if isinstance(error, Error) else None) or ""
    try:
        return errorcodes.lookup(code).lower().replace("_", " ")
    except KeyError:
        return code


# Closing connections that give no answer


@dataclass
class _Wait:
    """One call that waits for a server. `hung_up`: its time was over, and the connection was closed."""

    session: psycopg2.extensions.connection
    until: float
    cancel_at: float = math.inf
    cancelled: bool = False
    hung_up: bool = False


class _Watch:
    """Closes the connections of overdue waits, in a thread that the first wait starts."""

    def __init__(self) -> None:
        self._process, self._waits = 0, dict[int, _Wait]()

    def begin(self, wait: _Wait) -> None:
        if self._process != os.getpid():  # a fork has no threads
            self._process = os.getpid()
            self._waits.clear()
            threading.Thread(target=self._look, name="deadlines", daemon=True).start()
        self._waits[id(wait)] = wait

    def end(self, wait: _Wait) -> None:
        self._waits.pop(id(wait), None)

    def _look(self) -> None:
        idle = threading.Event()
        while not idle.wait(_LOOK):
            for wait in list(self._waits.values()):
                if time.monotonic() > wait.until and not wait.hung_up:
                    wait.hung_up = True
                    _hang_up(wait.session)
                elif time.monotonic() > wait.cancel_at and not wait.cancelled:
                    wait.cancelled = True  # by a connection of its own, which may have to wait as well
                    threading.Thread(target=_cancel, args=[wait.session], daemon=True).start()


def _hang_up(session: psycopg2.extensions.connection) -> None:
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(session.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _cancel(session: psycopg2.extensions.connection) -> None:
    with suppress(psycopg2.Error):
        session.cancel()


_WATCH = _Watch()


@contextmanager
def answer_within(session: psycopg2.extensions.connection, seconds: float, cancel: float = math.inf) -> Iterator[None]:
    """Close the session's connection if the body takes longer. After `cancel` seconds, ask the server to cancel it.

    The body then raises psycopg2.OperationalError without a code, like any lost connection: the outcome is unknown.
    """
    known = session.info.backend_pid if getattr(session, "own_backend", False) else 0  # a pooler's number leads nowhere
    wait = _Wait(session, time.monotonic() + seconds, time.monotonic() + cancel)
    _WATCH.begin(wait)
    try:
        yield
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        if wait.hung_up:
            where = f" (pg_stat_activity tells what its backend {known} waits for, if it still does)" if known else ""
            raise psycopg2.OperationalError(
                f"the server gave no answer within {seconds:g} s; connection closed{where}"
            ) from error
        raise
    finally:
        _WATCH.end(wait)


# The last statements

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
    """A cursor that records what it sends, and waits for an answer no longer than its session does."""

    def execute(self, query: Any, vars: Any = None) -> None:
        limit = getattr(self.connection, "answers_within", math.inf)
        if not getattr(self.connection, "keeps_settings", True) and _LASTS.match(str(query)):
            raise NotAvailable(f"behind a pooler, this would be left to its other clients: {query}")
        try:
            cancel = getattr(self.connection, "cancels_after", math.inf)
            with answer_within(self.connection, limit, cancel) if limit < math.inf else nullcontext():
                super().execute(query, vars)
        finally:
            sent = self.query or b""
            text = sent[:LONGEST].decode(errors="replace")
            _SENT.append(Sent(time.time(), text, len(sent) <= LONGEST))


def sent_since(moment: float) -> list[Sent]:
    """The statements sent since then (seconds since the epoch), KEPT at most; the earliest first."""
    return [one for one in list(_SENT) if one.at >= moment]
