"""Cache repositories that each break a promise, to see that the scenarios notice.

To use one, name it in the setting ACCEPT_CACHE_REPOSITORY: "support.sabotage.broken_caches:fills_late". Each is the
default repository with one defect.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import redis

from support import sql
from support.example_app.cache import CacheConfig, Question, Read, Source
from support.example_app.cache.leases import Breaker, Leases, Looked, Unavailable
from support.example_app.cache.repository import EntryRepository, EntryTransaction, Keys, open_repository
from support.waiting import pause


class _Forgetful(EntryRepository):
    def _commit(self, session: sql.Session, effects: Mapping[str, bytes | None]) -> None:
        super()._commit(session, {key: value for key, value in effects.items() if value is not None})


class _BeforeCommit(EntryRepository):
    @contextmanager
    def transaction(self) -> Iterator[EntryTransaction]:
        with super().transaction() as transaction:
            yield _Eager(transaction, self)


class _Eager(EntryTransaction):
    """Puts every change into the cache before it is committed."""

    def __init__(self, inner: EntryTransaction, repository: EntryRepository) -> None:
        super().__init__(inner._session, inner._keys, inner._profile)
        self.effects = inner.effects
        self._leases = repository._leases

    def write(self, namespace: str, key: str, value: str) -> None:
        super().write(namespace, key, value)
        self._leases.reserve(list(self.effects), "early")
        self._leases.settle(self.effects, "early")


class _Around(EntryRepository):
    """Invalidates instead of writing through."""

    def write(self, namespace: str, key: str, value: str) -> None:
        super().write(namespace, key, value)
        self.invalidate(namespace, key)


class _OneByOne(EntryRepository):
    def read_many(self, namespace: str, keys: Sequence[str]) -> Mapping[str, Read]:
        one_at_a_time = super().read_many
        return {key: one_at_a_time(namespace, [key])[key] for key in keys}

    def write_many(self, namespace: str, values: Mapping[str, str]) -> None:
        for key, value in values.items():
            super().write_many(namespace, {key: value})


class _Slow(EntryRepository):
    def read_many(self, namespace: str, keys: Sequence[str]) -> Mapping[str, Read]:
        pause(0.006)
        return super().read_many(namespace, keys)

    def fetch(self, question: Question, load: Callable[[], Any]) -> Read:
        pause(0.006)
        return super().fetch(question, load)


class _Mistrustful(EntryRepository):
    """Makes sure with each read that the database is alive."""

    def read_many(self, namespace: str, keys: Sequence[str]) -> Mapping[str, Read]:
        with self._pool.session():
            return super().read_many(namespace, keys)


class _InProcess(EntryRepository):
    """Keeps what it has read in its own memory too, where no other process can invalidate it."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._kept: dict[tuple[str, str], Any] = {}

    def read(self, namespace: str, key: str) -> Read:
        if (namespace, key) in self._kept:
            return Read(self._kept[namespace, key], Source.CACHE)
        read = super().read(namespace, key)
        self._kept[namespace, key] = read.value
        return read


class _AsText(EntryRepository):
    """Caches answers as plain JSON, and types unknown to JSON as text."""

    def fetch(self, question: Question, load: Callable[[], Any]) -> Read:
        read = super().fetch(question, lambda: json.dumps(load(), default=str))
        return Read(json.loads(read.value), read.source)


class _FillsLate(Leases):
    def fill(self, values: Mapping[str, bytes], token: str) -> None:
        self.reserve(list(values), token)
        self.settle(values, token)


class _EveryoneLoads(Leases):
    def look(self, keys: Sequence[str], token: str) -> Looked:
        looked = super().look(keys, token)
        return replace(looked, leased=[*looked.leased, *looked.busy], busy=[])


class _NeverEnds(Leases):
    def _put_in(self, values: Mapping[str, bytes | None], holder: str, how: str) -> None:
        super()._put_in(values, holder, how)
        for key in values:
            self._client.persist(key)


class _Blind(Leases):
    """Never finds anything."""

    def look(self, keys: Sequence[str], token: str) -> Looked:
        self.drop(keys)
        return super().look(keys, token)


class _FallsOver(Leases):
    def look(self, keys: Sequence[str], token: str) -> Looked:
        try:
            return super().look(keys, token)
        except Unavailable as error:
            raise ConnectionError(str(error)) from error


class _Stubborn(Leases):
    def __init__(self, client: redis.Redis, breaker: Breaker, **times: float) -> None:
        super().__init__(client, Breaker(pause=0), **times)


class _Forgiven(Leases):
    def _owe(self, keys: Iterable[str]) -> None:
        """Never remembers the keys that could not be dropped during an outage."""


class _TakesRefusalsForDone(Leases):
    """Remembers the keys that it could not drop because Redis was silent, and not those that Redis refused to drop."""

    @contextmanager
    def _asking(self, keys: Iterable[str], *, required: bool = False) -> Iterator[None]:
        try:
            with super()._asking(keys, required=required):
                yield
        except Unavailable as error:
            if isinstance(error.__cause__, redis.ResponseError):
                for key in keys:
                    self._debts.pop(key, None)
            raise


class _Joined(Keys):
    def entry(self, namespace: str, key: str) -> str:
        return f"{self.prefix}:{namespace}:{key}"

    def answer(self, question: Question) -> str:
        return ":".join([self.prefix, question.namespace, question.table, *map(str, question.parameters)])


class _Untyped(Keys):
    def answer(self, question: Question) -> str:
        return super().answer(replace(question, parameters=tuple(map(str, question.parameters))))


class _WithoutTable(Keys):
    def answer(self, question: Question) -> str:
        return super().answer(replace(question, table=""))


def forgets_to_invalidate(config: CacheConfig) -> EntryRepository:
    """Changes and deletions do not reach the cache."""
    return open_repository(config, repository=_Forgetful)


def fills_late(config: CacheConfig) -> EntryRepository:
    """A loaded value is put into the cache even if it was replaced meanwhile."""
    return open_repository(config, leases=_FillsLate)


def writes_before_commit(config: CacheConfig) -> EntryRepository:
    """What a transaction writes is cached before it is committed."""
    return open_repository(config, repository=_BeforeCommit)


def every_caller_loads(config: CacheConfig) -> EntryRepository:
    """Every caller loads a missing entry itself."""
    return open_repository(config, leases=_EveryoneLoads)


def never_expires(config: CacheConfig) -> EntryRepository:
    """Entries never expire."""
    return open_repository(config, leases=_NeverEnds)


def expires_early(config: CacheConfig) -> EntryRepository:
    """Entries expire 20 % too early."""
    return open_repository(replace(config, time_to_live=config.time_to_live * 0.8))


def expires_late(config: CacheConfig) -> EntryRepository:
    """Entries expire 20 % too late, and the staleness bound is exceeded as well."""
    return open_repository(
        replace(config, time_to_live=config.time_to_live * 1.2, staleness_bound=config.staleness_bound * 1.2)
    )


def never_caches(config: CacheConfig) -> EntryRepository:
    """Everything is read from the database."""
    return open_repository(config, leases=_Blind)


def invalidates_where_it_should_write_through(config: CacheConfig) -> EntryRepository:
    """A read after a write is a miss."""
    return open_repository(config, repository=_Around)


def one_by_one(config: CacheConfig) -> EntryRepository:
    """Many entries cost many round trips."""
    return open_repository(config, repository=_OneByOne)


def slow(config: CacheConfig) -> EntryRepository:
    """Each read takes 6 ms more."""
    return open_repository(config, repository=_Slow)


def greets_the_database(config: CacheConfig) -> EntryRepository:
    """Each read makes sure that the database is alive."""
    return open_repository(config, repository=_Mistrustful)


def remembers_in_process(config: CacheConfig) -> EntryRepository:
    """Each process keeps its own copy of what it has read."""
    return open_repository(config, repository=_InProcess)


def caches_as_text(config: CacheConfig) -> EntryRepository:
    """Types are lost."""
    return open_repository(config, repository=_AsText)


def ignores_the_prefix(config: CacheConfig) -> EntryRepository:
    """Keys do not begin with the prefix that was given."""
    return open_repository(replace(config, prefix=f"elsewhere-{config.prefix}"))


def joins_with_colons(config: CacheConfig) -> EntryRepository:
    """Keys with different parts are the same if their joined text is the same."""
    return open_repository(config, keys=_Joined)


def forgets_the_table(config: CacheConfig) -> EntryRepository:
    """The same query on two tables has one key."""
    return open_repository(config, keys=_WithoutTable)


def forgets_types(config: CacheConfig) -> EntryRepository:
    """1 and "1" are the same parameter."""
    return open_repository(config, keys=_Untyped)


def falls_over_with_redis(config: CacheConfig) -> EntryRepository:
    """Reads fail while Redis is down."""
    return open_repository(config, leases=_FallsOver)


def waits_for_redis(config: CacheConfig) -> EntryRepository:
    """Every operation waits for a Redis that does not answer."""
    return open_repository(config, leases=_Stubborn)


def forgets_what_an_outage_swallowed(config: CacheConfig) -> EntryRepository:
    """Entries that could not be dropped during an outage are served after it."""
    return open_repository(config, leases=_Forgiven)


def forgets_what_redis_refused(config: CacheConfig) -> EntryRepository:
    """Entries that Redis refused to drop are served all the same."""
    return open_repository(config, leases=_TakesRefusalsForDone)
