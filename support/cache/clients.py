"""Clients of the cache under test: each has a cache repository and database sessions of its own.

A client stands for one process of the application. Its sessions are watched: loads are counted, and their answers can
be delayed or held back. A Recorder performs operations on the cache and records each in a history.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psycopg2.extensions

from support import sql
from support.engine.history import History, Operation, Outcome
from support.engine.workload import outcome_of
from support.errors import ConnectFailed, Inconclusive
from support.example_app.cache import CacheConfig, CacheRepository, Read, Source
from support.example_app.cache.interface import opener
from support.example_app.cache.repository import SESSIONS
from support.example_app.profile import relation
from support.example_app.sessions import room
from support.target.cluster import Cluster
from support.target.redis import client_of, primary_of
from support.target.topology import Address
from support.timeouts import STATEMENT
from support.waiting import describe, pause


class WatchedSessions:
    """Opens sessions on which every load (a SELECT on the table of entries) is seen.

    The database answers as always; only the way back to the repository is watched. Safe to share between threads.
    """

    def __init__(self, endpoint: sql.Endpoint, table: str) -> None:
        self.delay = 0.0
        """Seconds by which each answer to a load is delayed."""
        self.loads = 0
        """How many loads the database has answered so far."""
        self._loads_of_each = Counter[bytes]()
        self._endpoint, self._table = endpoint, table.encode()
        self._lock = threading.Lock()
        self._answered, self._gate = threading.Event(), threading.Event()
        self._gate.set()
        self._opened: list[sql.Session] = []
        self._cursor = _cursor_reporting_to(self)

    def connect(self) -> sql.Session:
        """One more session, in autocommit."""
        session = sql.connect(self._endpoint, autocommit=True)
        self._opened.append(session)
        session.cursor_factory = self._cursor
        return session

    def loads_of_each(self) -> Counter[bytes]:
        """Load, as it was sent -> how often the database has answered it so far."""
        with self._lock:
            return Counter(self._loads_of_each)

    @contextmanager
    def holding_answers(self) -> Iterator[None]:
        """Meanwhile no answer to a load reaches the repository."""
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
        """Close every session that was opened, including those that the repository did not close."""
        for session in self._opened:
            session.close()

    def executed(self, statement: bytes) -> None:
        """A statement was executed on one of the sessions."""
        if not statement.lstrip().upper().startswith(b"SELECT") or self._table not in statement:
            return
        with self._lock:
            self.loads += 1
            self._loads_of_each[statement] += 1
        self._answered.set()
        if self.delay:
            pause(self.delay)
        self._gate.wait(STATEMENT)


def _cursor_reporting_to(sessions: WatchedSessions) -> type[psycopg2.extensions.cursor]:
    class WatchedCursor(psycopg2.extensions.cursor):
        def execute(self, query: str | bytes, vars: sql.Values = None) -> None:  # type: ignore[override]
            super().execute(query, vars)
            sessions.executed(self.query or b"")

    return WatchedCursor


_OTHERS = 3
"""Sessions that a scenario has beside those of its clients, at most."""
LONG = 60.0
"""Seconds: a time to live and a staleness bound that outlast every scenario."""


@dataclass(frozen=True)
class CacheClient:
    """A cache repository, and the database sessions through which it works."""

    repository: CacheRepository
    sessions: WatchedSessions


@dataclass(frozen=True)
class CacheClients:
    """Opens clients for a scenario; its `cleanup` closes them."""

    cluster: Cluster
    name: str
    """The cache under test, as the setting ACCEPT_CACHE_REPOSITORY names it."""
    prefix: str
    """Every key in Redis begins with it."""
    cleanup: ExitStack
    allowed: int | None = None
    """How many sessions the user says can be open at once through the write endpoint; None if nothing was said."""

    def open_many(self, count: int, **options: Any) -> list[CacheClient]:
        """Open `count` clients, each as `open` does it, which share the sessions that the application may have."""
        known = [one for one in (self.allowed, room(self.cluster.write)) if one is not None]
        share = (min(known) - _OTHERS) // count if known else SESSIONS
        return [self.open(sessions=max(1, min(share, SESSIONS)), **options) for _ in range(count)]

    def open(
        self,
        *,
        time_to_live: float = LONG,
        staleness_bound: float = LONG,
        redis: Address | None = None,
        sessions: int = SESSIONS,
    ) -> CacheClient:
        """Open one more client, which may have so many sessions.

        Times are in seconds; `redis` is an address to use in place of Redis's own.
        """
        server = self.cluster.redis_address
        if redis is not None:  # a relay, whose name is in no certificate
            tls = replace(server.tls, any_host=True) if server.tls else None
            server = replace(primary_of(server), address=redis, tls=tls)
        watched = WatchedSessions(self.cluster.write, relation(self.cluster.profile.entries.table))
        self.cleanup.callback(watched.close)
        config = CacheConfig(
            redis_host=server.address.host,
            redis_port=server.address.port,
            redis_password=server.password,
            open_redis=partial(client_of, server),
            connect=watched.connect,
            sessions=sessions,
            profile=self.cluster.profile,
            prefix=self.prefix,
            time_to_live=time_to_live,
            staleness_bound=staleness_bound,
        )
        repository = opener(self.name)(config)
        self.cleanup.callback(repository.close)
        return CacheClient(repository, watched)


ACTIONS = {Source.CACHE: "hit", Source.DATABASE: "miss"}


class Recorder:
    """Performs operations as one client of a history. An error is recorded as an outcome, and not raised."""

    def __init__(self, history: History, number: int, client: CacheClient, namespace: str) -> None:
        self._history, self._number, self._namespace = history, number, namespace
        self._repository = client.repository

    def read(self, key: str) -> Operation:
        """Read an entry: recorded as a hit or a miss, with the value that was served."""
        return self.perform("miss", key, None, lambda: self._repository.read(self._namespace, key))

    def write(self, key: str, value: str) -> Operation:
        """Write through the cache."""
        return self.perform("write", key, value, lambda: self._repository.write(self._namespace, key, value))

    def update(self, key: str, value: str) -> Operation:
        """Change an existing entry; recorded as a write."""
        return self.perform("write", key, value, lambda: self._repository.update(self._namespace, key, value))

    def delete(self, key: str) -> Operation:
        """Delete an entry; recorded as a write of None."""
        return self.perform("write", key, None, lambda: self._repository.delete(self._namespace, key))

    def note(self, action: str, key: str, value: str | None, begun: float) -> None:
        """Record an operation that the caller itself has performed since `begun`, successfully."""
        self._history.append(Operation(self._number, action, key, value, Outcome.OK, begun, time.monotonic()))

    def perform(self, action: str, key: str, value: str | None, work: Callable[[], object]) -> Operation:
        """Do `work` and record it as `action`; a read is recorded as what it was, a hit or a miss."""
        begun = time.monotonic()
        outcome, message = Outcome.OK, ""
        found: Any = value
        try:
            result = work()
            if isinstance(result, Read):
                action, found = ACTIONS[result.source], result.value
        except Exception as error:
            ours = isinstance(error, sql.Error | ConnectFailed)
            outcome = outcome_of(error, committing=True) if ours else Outcome.UNKNOWN
            message = describe(error)
        operation = Operation(self._number, action, key, found, outcome, begun, time.monotonic(), message)
        self._history.append(operation)
        return operation


def recorders_of(clients: Sequence[CacheClient], history: History, namespace: str) -> list[Recorder]:
    """A recorder for each client; its number in the history is its place in the list."""
    return [Recorder(history, number, client, namespace) for number, client in enumerate(clients)]


class RolledBack(Exception):
    """Raised within a transaction to roll it back."""


def together(jobs: Sequence[Callable[[], object]]) -> list[object]:
    """Do all jobs at once, each in a thread; returns the results when all have ended. Raises the first error.

    A job that the others wait for has to tell them of its end, even if it fails: see `ending`.
    """
    gate = threading.Barrier(len(jobs))

    def begin(job: Callable[[], object]) -> object:
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        try:
            begun = [pool.submit(begin, job) for job in jobs]
        except BaseException:  # such as a limit on threads: those that were started would wait for the others for ever
            gate.abort()
            raise
        return [ended.result() for ended in begun]


def ending(over: threading.Event, job: Callable[[], object]) -> Callable[[], None]:
    """The job; when it has ended, even by an error, it sets `over`, so that jobs that work until then end as well."""

    def do() -> None:
        try:
            job()
        finally:
            over.set()

    return do
