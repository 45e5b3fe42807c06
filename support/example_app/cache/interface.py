"""The contract of a cache repository: what the scenarios require of the cache under test.

To test your own, write a callable that takes a `CacheConfig` and returns an object with the methods of
`CacheRepository`, and name it in the setting ACCEPT_CACHE_REPOSITORY as "package.module:callable". It may be an adapter
for your application's existing cache. It is called once for each client of a scenario. Two repositories stand for two
processes of the application, and may share nothing but Redis and the database. Each is used from several threads."""

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis import Redis

from support.example_app.profile import Profile
from support.settings import named_callable
from support.sql import Session


class Source(enum.StrEnum):
    """Where a value came from."""

    CACHE = "the cache"
    DATABASE = "the database"


@dataclass(frozen=True)
class Read:
    """The result of a read. The value is None if there is no such entry."""

    value: Any
    source: Source


@dataclass(frozen=True)
class Question:
    """Identifies a query: two queries may share a cached result only if all of this is the same.

    Parameters of different types are different: 1, "1" and True are three parameters.
    """

    namespace: str
    table: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True)
class CacheConfig:
    """What a repository is given. Times are in seconds."""

    redis_host: str
    """The server; with Sentinel, the first Sentinel; of a Redis Cluster, the first node."""
    redis_port: int
    redis_password: str | None = field(repr=False)
    open_redis: Callable[..., Redis]
    """Opens a redis-py client that makes a single attempt; takes further redis-py arguments. It works with every Redis:
    with a user, TLS or another database, behind Sentinel, and with a Redis Cluster."""
    connect: Callable[[], Session]
    """Opens one more database session, in autocommit, as the application. All loads and writes must use such sessions:
    that is how a scenario sees them (SQLAlchemy accepts it as `creator`)."""
    sessions: int
    """How many of them may be open at once: the application's role may be limited."""
    profile: Profile
    """The table of entries and its columns; `profile.sql` puts their names into a statement."""
    prefix: str
    """Every key in Redis must begin with it; all such keys are removed after the scenario."""
    time_to_live: float
    """How long an entry must stay in the cache."""
    staleness_bound: float
    """How long an old value may be served after a change was committed, whatever fails in the meantime."""


class Transaction(Protocol):
    """Changes of entries that are committed together. No reader sees any of them before the commit."""

    def write(self, namespace: str, key: str, value: str) -> None: ...

    def update(self, namespace: str, key: str, value: str) -> bool: ...

    def delete(self, namespace: str, key: str) -> bool: ...


class CacheRepository(Protocol):
    """How the application accesses its entries (a table with namespace, key and value) and query results.

    No caller notices an outage of Redis: the database answers instead, in bounded time. Errors of the database are
    raised as they are.
    """

    def read(self, namespace: str, key: str) -> Read:
        """The value of one entry."""

    def read_many(self, namespace: str, keys: Sequence[str]) -> Mapping[str, Read]:
        """The values of several entries by key; the cache is asked once for all of them."""

    def write(self, namespace: str, key: str, value: str) -> None:
        """Insert or overwrite an entry, and put it into the cache (write-through)."""

    def write_many(self, namespace: str, values: Mapping[str, str]) -> None:
        """Store several entries, all or none; the cache is asked as often as for one."""

    def update(self, namespace: str, key: str, value: str) -> bool:
        """Change an existing entry, and drop it from the cache (cache-aside). False if there is no such entry."""

    def delete(self, namespace: str, key: str) -> bool:
        """Delete an entry for every client. False if there is no such entry."""

    def invalidate(self, namespace: str, key: str) -> None:
        """Drop an entry from the cache only; a load that is in progress does not bring it back."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Several changes in one transaction: committed at the end, rolled back by an exception."""

    def fetch(self, question: Question, load: Callable[[], Any]) -> Read:
        """The result of a query, from the cache or from `load`, which is called once for all concurrent readers.

        `load` may return any value that `codec` can encode. Changes in the database do not drop the result: it may be
        old by at most the staleness bound.
        """

    def close(self) -> None:
        """Close every connection. What was read or written before stays correct."""


def opener(name: str) -> Callable[[CacheConfig], CacheRepository]:
    """The callable with the name "package.module:callable". Raises UsageError, which says what is wrong with it."""
    return named_callable("ACCEPT_CACHE_REPOSITORY", name)
