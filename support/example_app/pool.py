"""The contract of a connection pool: what scenarios about lost sessions, logins and retries require of it.

To test your own, with the driver that your application uses, write a callable that takes a `PoolConfig` and returns an
object with the methods of `Pool`, and name it in the setting ACCEPT_POOL as "package.module:callable".
docs/examples/pools has one for SQLAlchemy and one for psycopg 3. `open_pool`, the default, uses psycopg2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg2
import psycopg2.errors
import psycopg2.extensions

from support import sql
from support.errors import ConnectFailed
from support.example_app.sessions import SessionPool
from support.settings import named_callable

DEFAULT = "support.example_app.pool:open_pool"


@dataclass(frozen=True)
class PoolConfig:
    """What a pool is given. Times are in seconds."""

    endpoint: sql.Endpoint = field(repr=False)
    """Where to log in, and how; `parameters` and `url` say the same."""
    size: int
    """How many sessions it may hold."""
    login_timeout: float
    """How long a login may take; then it must fail, with an error that names host and port."""
    statement_timeout: float
    """How long a statement may take, and how long a lost connection may go unnoticed."""

    @property
    def parameters(self) -> dict[str, str]:
        """libpq's parameters, for any driver built on it, including those that detect a lost connection."""
        where = self.endpoint
        hosts, ports = zip(*where.hosts, strict=True)
        return {
            "host": ",".join(hosts),
            "port": ",".join(map(str, ports)),
            "dbname": where.database,
            "user": where.user,
            "password": where.password,
            "connect_timeout": str(max(2, round(self.login_timeout))),
            "tcp_user_timeout": str(round(self.statement_timeout * 1000)),
            "keepalives_idle": "2",
            "keepalives_interval": "2",
            "keepalives_count": "3",
            **where.options,
        }

    @property
    def conninfo(self) -> str:
        """`parameters` as a string of keywords and values."""
        return psycopg2.extensions.make_dsn(**self.parameters)


class Pool(Protocol):
    """How the application runs statements. Its errors are raised as the driver raises them."""

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on a session of the pool, in a transaction of its own, and commit it; the rows if any.

        Parameters are written %(name)s. A session that died while nobody used it is replaced, and the caller does not
        notice. A statement that may have been executed is not executed again: the caller decides.
        """

    def close(self) -> None:
        """Close all sessions."""


class _Default:
    """The suite's own pool, by psycopg2."""

    def __init__(self, config: PoolConfig) -> None:
        times = {"connect_timeout": config.login_timeout, "statement_timeout": config.statement_timeout}
        self._pool = SessionPool(lambda: sql.connect(config.endpoint, autocommit=True, **times), config.size)

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return self._pool.use(lambda session: sql.rows(session, statement, values))

    def close(self) -> None:
        self._pool.close()


def open_pool(config: PoolConfig) -> Pool:
    """The default pool."""
    return _Default(config)


class TestedPool:
    """The pool under test, whose errors are those that the suite knows. A context manager."""

    __test__ = False  # for pytest: not a test

    def __init__(self, name: str, config: PoolConfig) -> None:
        """Raises UsageError for a name that leads nowhere."""
        self._pool = opener(name)(config)

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """As the pool does it. Every error is a sql.Error, or a ConnectFailed; with its SQLSTATE, if it has one."""
        try:
            return [tuple(row) for row in self._pool.execute(statement, values) or ()]
        except (sql.Error, ConnectFailed):
            raise
        except Exception as error:
            raise as_ours(error) from error

    def close(self) -> None:
        self._pool.close()

    def __enter__(self) -> "TestedPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_ours(error: BaseException) -> sql.Error:
    """An error of any driver as one of psycopg2's, by its SQLSTATE; without one, what happened is unknown."""
    code, said = sqlstate_of(error), " ".join(f"{type(error).__name__}: {error}".split())
    if not code:
        return psycopg2.OperationalError(said)
    try:
        found: sql.Error = psycopg2.errors.lookup(code)(said)
    except KeyError:
        found = psycopg2.DatabaseError(said)
    found.__setstate__({"pgcode": code, "pgerror": said})  # type: ignore[no-untyped-call]
    return found


def sqlstate_of(error: BaseException | None) -> str:
    """The SQLSTATE of a driver's error, or of the error that it wraps; empty if there is none."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for name in ("pgcode", "sqlstate"):
            if isinstance(code := getattr(error, name, None), str) and len(code) == 5:
                return code
        error = getattr(error, "orig", None) or error.__cause__ or error.__context__
    return ""


def opener(name: str) -> Callable[[PoolConfig], Pool]:
    """The callable with the name "package.module:callable". Raises UsageError, which says what is wrong with it."""
    return named_callable("ACCEPT_POOL", name)
