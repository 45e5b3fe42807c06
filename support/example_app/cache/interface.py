"""What a cache repository is: the contract that the scenarios hold the cache under test to.

To put your own to the test, write a callable that takes `Means` and returns something with the methods of
`CacheRepository`, and name it in the setting ACCEPT_CACHE_REPOSITORY as "package.module:callable". It may adapt what
your application has. It is called once for each client that a scenario needs; two repositories stand for two
processes of the application, and may share nothing but Redis and the database. Each is used from several threads.

The cache under test, by the name that the setting gives it.
"""

import enum
import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from support.errors import UsageError
from support.example_app.profile import Profile
from support.sql import Session


class Source(enum.StrEnum):
    """Where an answer came from."""

    CACHE = "the cache"
    DATABASE = "the database"


@dataclass(frozen=True)
class Read:
    """What a read found. The value is None where there is no such entry."""

    value: Any
    source: Source


@dataclass(frozen=True)
class Question:
    """All that an answer of the database depends on: two answers are the same one only if all of this is the same.

    Parameters differ when their types do: 1, "1" and True are three.
    """

    namespace: str
    table: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Means:
    """What a repository is given to work with. Times are in seconds."""

    redis_host: str
    redis_port: int
    redis_password: str | None = field(repr=False)
    connect: Callable[[], Session]
    """Opens one more session with the database, in autocommit, as the application. All loads and writes are to go
    through such sessions: that is how a scenario sees them (SQLAlchemy takes it as `creator`)."""
    profile: Profile
    """Which table has the entries, and by which columns; `profile.sql` puts the names into a statement."""
    prefix: str
    """Every key in Redis is to begin with it; what does is removed after the scenario."""
    time_to_live: float
    """How long an entry is to stay in the cache."""
    staleness_bound: float
    """An old value is to be served for at most so long after a change was committed, whatever fails meanwhile."""


class Transaction(Protocol):
    """Changes of entries that are committed together. Nobody sees any of them before that."""

    def write(self, namespace: str, key: str, value: str) -> None: ...

    def update(self, namespace: str, key: str, value: str) -> bool: ...

    def delete(self, namespace: str, key: str) -> bool: ...


class CacheRepository(Protocol):
    """The application's way to its entries (a table with namespace, key, value) and to answers of queries.

    An outage of Redis reaches no caller: then the answer comes from the database, in bounded time. What is wrong with
    the database is raised as it is.
    """

    def read(self, namespace: str, key: str) -> Read:
        """The value of one entry."""

    def read_many(self, namespace: str, keys: Sequence[str]) -> Mapping[str, Read]:
        """The values of several entries by key; the cache is asked once for all of them."""

    def write(self, namespace: str, key: str, value: str) -> None:
        """Store an entry, there before or not, and put it into the cache (write-through)."""

    def write_many(self, namespace: str, values: Mapping[str, str]) -> None:
        """Store several entries, all or none; the cache is asked as often as for one."""

    def update(self, namespace: str, key: str, value: str) -> bool:
        """Change an entry that is there, and drop it from the cache (cache-aside). False if there is none."""

    def delete(self, namespace: str, key: str) -> bool:
        """Delete an entry, for every client. False if there is none."""

    def invalidate(self, namespace: str, key: str) -> None:
        """Drop an entry from the cache alone; a load that is under way now will not bring it back."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Several changes in one: committed at the end, rolled back by an exception."""

    def fetch(self, question: Question, load: Callable[[], Any]) -> Read:
        """The answer to any question, from the cache or, once for all who ask meanwhile, from `load`.

        `load` may answer with any value that `codec` knows. What changes in the database drops no such answer: it is
        old by at most the staleness bound.
        """

    def close(self) -> None:
        """Let go of every connection. What was read or written before stays right."""


def opener(name: str) -> Callable[[Means], CacheRepository]:
    """The callable that "package.module:callable" names. Raises UsageError, which says what is wrong with the name."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise UsageError(f'ACCEPT_CACHE_REPOSITORY is {name!r}: it is to be "package.module:callable"')
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"ACCEPT_CACHE_REPOSITORY is {name!r}: {error}") from error
    if not callable(found):
        raise UsageError(f"ACCEPT_CACHE_REPOSITORY is {name!r}: that is a {type(found).__name__}, no callable")
    opening: Callable[[Means], CacheRepository] = found
    return opening
