"""Run behave with one part of the application broken, in that process only.

python -m support.sabotage.application PART [behave's arguments]
"""

import itertools
import runpy
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import allure
import psycopg2
import psycopg2.errors
import psycopg2.extensions

from support import sql
from support.example_app import entries, search, sessions


def pool_lends_the_dead() -> None:
    """The pool does not check whether a session is alive before it hands it out."""
    sessions._lives = lambda session: True


def logins_wait_for_ever() -> None:
    """A login has no timeout."""
    connect = psycopg2.connect

    def patient(**parameters: Any) -> Any:
        return connect(**{**parameters, "connect_timeout": 0})

    psycopg2.connect = patient  # type: ignore[assignment]


def reaches_another_database() -> None:
    """A login leads to the database "postgres", whichever it names."""
    connect = psycopg2.connect

    def elsewhere(**parameters: Any) -> Any:
        return connect(**{**parameters, "dbname": "postgres"})

    psycopg2.connect = elsewhere  # type: ignore[assignment]


class _Eager(sql.Session):
    """Is in autocommit mode, whatever it is told."""

    @property
    def autocommit(self) -> bool:
        return True

    @autocommit.setter
    def autocommit(self, wanted: bool) -> None:
        psycopg2.extensions.connection.autocommit.__set__(self, True)  # type: ignore[attr-defined]


def commits_by_itself() -> None:
    """Every statement is committed at once: all sessions are in autocommit mode."""
    _connect_with(connection_factory=_Eager)


class _Committing(sql.Session):
    """Commits instead of rolling back."""

    def rollback(self) -> None:
        self.commit()


def commits_what_is_rolled_back() -> None:
    """A rollback commits."""
    connect = psycopg2.connect

    def wrong(**parameters: Any) -> Any:
        return connect(**{**parameters, "connection_factory": _Committing})

    psycopg2.connect = wrong  # type: ignore[assignment]


class _LessIsolated(sql.Session):
    """Transactions are at read committed, whatever level is asked for."""

    @property
    def isolation_level(self) -> Any:
        return super().isolation_level

    @isolation_level.setter
    def isolation_level(self, level: Any) -> None:
        """Leaves it at the server's default."""


def ignores_the_isolation_level() -> None:
    """Every transaction is at read committed: the driver ignores the level that is asked for."""
    _connect_with(connection_factory=_LessIsolated)


class _Forgetful(sql.RecordingCursor):
    """Sends no setting that is meant for a whole session."""

    def execute(self, query: Any, vars: Any = None) -> None:
        forgotten = str(query).startswith("SET SESSION CHARACTERISTICS")
        super().execute("SELECT 1" if forgotten else query, None if forgotten else vars)


def forgets_settings_of_sessions() -> None:
    """What is set for a session is lost, as behind a pooler that gives each transaction another backend."""
    _connect_with(cursor_factory=_Forgetful)


_LOGINS = 5
"""How many further logins are tried to reach another server; behind a write endpoint there is none."""


def _started(session: psycopg2.extensions.connection) -> object:
    """When its server started, which tells servers apart."""
    with psycopg2.extensions.connection.cursor(session) as cursor:
        cursor.execute("SELECT pg_postmaster_start_time()")
        found = cursor.fetchone()
    psycopg2.extensions.connection.rollback(session)
    return found


class _Wandering(sql.Session):
    """Its statements go to two servers in turn."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._turns = itertools.count()
        self._other = psycopg2.extensions.connection(*given, **named)
        for _ in range(_LOGINS):  # a proxy may lead both to one server if others log in at the same time
            if _started(self._other) != _started(self):
                break
            self._other.close()
            self._other = psycopg2.extensions.connection(*given, **named)
        self._other.autocommit = True

    def cursor(self, *given: Any, **named: Any) -> Any:
        return self._other.cursor(*given, **named) if next(self._turns) % 2 else super().cursor(*given, **named)

    def close(self) -> None:
        self._other.close()
        super().close()


def reads_now_here_now_there() -> None:
    """Each session is two, which the endpoint may lead to different servers."""
    _connect_with(connection_factory=_Wandering)


class _Hopeful(sql.Session):
    """Takes every commit for a success."""

    def commit(self) -> None:
        with suppress(psycopg2.Error):
            super().commit()


def ignores_failed_commits() -> None:
    """A commit that fails counts as done."""
    _connect_with(connection_factory=_Hopeful)


class _Careless(sql.RecordingCursor):
    """Takes one in two writes that found no space for done."""

    _refused = itertools.count()

    def execute(self, query: Any, vars: Any = None) -> None:
        try:
            super().execute(query, vars)
        except psycopg2.errors.DiskFull:
            if next(self._refused) % 2:
                raise


def ignores_a_full_disk() -> None:
    """One in two writes that the server refused for lack of disk space counts as done."""
    _connect_with(cursor_factory=_Careless)


class _Waiting(sql.RecordingCursor):
    """Waits until no other statement of this process is executed."""

    _one = threading.Lock()

    def execute(self, query: Any, vars: Any = None) -> None:
        with self._one:
            super().execute(query, vars)


def executes_one_statement_at_a_time() -> None:
    """A statement waits until all before it are answered, whichever node they are for."""
    _connect_with(cursor_factory=_Waiting)


def _connect_with(**always: Any) -> None:
    """Every login has these parameters, whatever else is asked for."""
    connect = psycopg2.connect
    psycopg2.connect = lambda **parameters: connect(**{**parameters, **always})  # type: ignore[assignment]


def tells_its_password() -> None:
    """The error of a failed login contains the connection string."""
    connect = psycopg2.connect

    def talkative(**parameters: Any) -> Any:
        try:
            return connect(**parameters)
        except psycopg2.Error as error:
            raise type(error)(f"{error} ({_connection_string(parameters)})") from error

    psycopg2.connect = talkative  # type: ignore[assignment]


def reports_its_password() -> None:
    """The connection string of every login is attached to the report."""
    connect = psycopg2.connect

    def noted(**parameters: Any) -> Any:
        allure.attach(_connection_string(parameters), name="login", attachment_type=allure.attachment_type.TEXT)
        return connect(**parameters)

    psycopg2.connect = noted  # type: ignore[assignment]


def _connection_string(parameters: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in parameters.items())


def forgets_the_namespace() -> None:
    """Reads and searches ignore the namespace."""
    opened = entries.EntryStore.__init__

    def open_carelessly(self: entries.EntryStore, *given: Any) -> None:
        opened(self, *given)
        self._select = self._select.replace('"namespace" = %s', "%s <> ''")

    entries.EntryStore.__init__ = open_carelessly  # type: ignore[method-assign, assignment]
    prepare = search.Search._prepare

    def careless(self: search.Search) -> None:
        self._statement = self._statement.replace('"namespace" = %(namespace)s', "%(namespace)s <> ''")
        prepare(self)

    search.Search._prepare = careless  # type: ignore[method-assign]


def verifies_no_certificate() -> None:
    """The application uses TLS, but accepts any certificate."""
    connect = psycopg2.connect

    def credulous(**parameters: Any) -> Any:
        trusted = {name: value for name, value in parameters.items() if name != "sslrootcert"}
        return connect(**{**trusted, "sslmode": "require"})

    psycopg2.connect = credulous  # type: ignore[assignment]


_COUNT_AGAIN = """
    UPDATE memory_entries SET value = (value::bigint + 1)::text WHERE namespace = %(namespace)s AND key = %(counter)s
"""


def counts_twice_or_not_at_all() -> None:
    """One in a hundred counting operations is applied twice, and the next one is acknowledged but never sent."""
    rows, turns = sql.rows, itertools.count()

    def careless(where: sql.Endpoint | sql.Session, statement: str, values: sql.Values = None) -> list[sql.Row]:
        counts = isinstance(values, Mapping) and {"operation", "counter"} <= values.keys() and "UPDATE" in statement
        if not counts:
            return rows(where, statement, values)
        if (turn := next(turns) % 100) == 1:
            return []
        done = rows(where, statement, values)
        if turn == 0:
            rows(where, _COUNT_AGAIN, values)
        return done

    sql.rows = careless


PARTS: Mapping[str, Callable[[], None]] = {
    part.__name__: part
    for part in (
        pool_lends_the_dead,
        logins_wait_for_ever,
        reaches_another_database,
        commits_by_itself,
        commits_what_is_rolled_back,
        ignores_the_isolation_level,
        forgets_settings_of_sessions,
        reads_now_here_now_there,
        ignores_failed_commits,
        ignores_a_full_disk,
        executes_one_statement_at_a_time,
        tells_its_password,
        reports_its_password,
        forgets_the_namespace,
        verifies_no_certificate,
        counts_twice_or_not_at_all,
    )
}

if __name__ == "__main__":
    PARTS[sys.argv.pop(1)]()
    runpy.run_module("behave", run_name="__main__", alter_sys=True)
