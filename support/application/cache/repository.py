"""Our cache repository: the application's entries and answers of queries, cache-aside and write-through."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support import sql
from support.application.cache.aside import CacheAside
from support.application.cache.breaker import Breaker
from support.application.cache.codec import encode
from support.application.cache.interface import Means, Question, Read
from support.application.cache.keys import Keys
from support.application.cache.leases import Leases, Unavailable
from support.application.entries import EntryStore
from support.application.pool import SessionPool
from support.application.profile import Profile

ANSWER = 0.5
"""Seconds that Redis has for an answer; the database is asked instead of a Redis that takes longer."""
RETRY = 1.0
"""Seconds after a failure before Redis is asked again."""
LEASE = 3.0
"""Seconds that a load or a commit may take if its value is to be cached; a reader waits as long for another's load."""
SESSIONS = 16
"""Sessions with the database at the same time."""

_SELECT = (
    "SELECT {entries.key}, {entries.value} FROM {entries} WHERE {entries.namespace} = %s AND {entries.key} = ANY(%s)"
)
_UPSERT = """
    INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}{entries.also})
    VALUES (%s, %s, %s{entries.filling})
    ON CONFLICT ({entries.namespace}, {entries.key}) DO UPDATE SET {entries.value} = excluded.{entries.value}
"""


class EntryTransaction:
    """Changes that are made on one session, and what each means for the cache once they are committed."""

    def __init__(self, session: sql.Session, keys: Keys, profile: Profile) -> None:
        self._session, self._keys, self._profile = session, keys, profile
        self.effects: dict[str, bytes | None] = {}
        """Key in the cache -> the value to put there; None to drop what is there."""

    def write(self, namespace: str, key: str, value: str) -> None:
        sql.execute(self._session, self._profile.sql(_UPSERT), [namespace, key, value])
        self.effects[self._keys.entry(namespace, key)] = encode(value)

    def update(self, namespace: str, key: str, value: str) -> bool:
        self.effects[self._keys.entry(namespace, key)] = None
        return EntryStore(self._session, self._profile).update(namespace, key, value) > 0

    def delete(self, namespace: str, key: str) -> bool:
        self.effects[self._keys.entry(namespace, key)] = None
        return EntryStore(self._session, self._profile).delete(namespace, key) > 0


class EntryRepository:
    """The default CacheRepository (see `interface`)."""

    def __init__(self, leases: Leases, pool: SessionPool, keys: Keys, profile: Profile) -> None:
        self._leases, self._pool, self._keys, self._profile = leases, pool, keys, profile
        self._aside = CacheAside(leases, patience=LEASE)

    def read(self, namespace: str, key: str) -> Read:
        return self.read_many(namespace, [key])[key]

    def read_many(self, namespace: str, keys: Sequence[str]) -> Mapping[str, Read]:
        cached = {self._keys.entry(namespace, key): key for key in keys}

        def load(missing: list[str]) -> Mapping[str, Any]:
            with self._pool.session() as session:
                rows = sql.rows(session, self._profile.sql(_SELECT), [namespace, [cached[one] for one in missing]])
            found: dict[str, str] = dict(rows)
            return {one: found.get(cached[one]) for one in missing}

        return {cached[one]: read for one, read in self._aside.read(cached, load).items()}

    def write(self, namespace: str, key: str, value: str) -> None:
        self.write_many(namespace, {key: value})

    def write_many(self, namespace: str, values: Mapping[str, str]) -> None:
        with self.transaction() as transaction:
            for key, value in sorted(values.items()):  # in one order everywhere: no deadlock between two of these
                transaction.write(namespace, key, value)

    def update(self, namespace: str, key: str, value: str) -> bool:
        with self.transaction() as transaction:
            return transaction.update(namespace, key, value)

    def delete(self, namespace: str, key: str) -> bool:
        with self.transaction() as transaction:
            return transaction.delete(namespace, key)

    @contextmanager
    def transaction(self) -> Iterator[EntryTransaction]:
        with self._pool.session() as session:
            session.autocommit = False
            transaction = EntryTransaction(session, self._keys, self._profile)
            try:
                yield transaction
            except BaseException:
                with suppress(sql.Error):  # a session that is lost has rolled back by itself
                    session.rollback()
                raise
            self._commit(session, transaction.effects)

    def _commit(self, session: sql.Session, effects: Mapping[str, bytes | None]) -> None:
        """Reserve, commit, settle. Whatever goes wrong after the reservation drops the keys: at worst a miss."""
        token = secrets.token_hex(8)
        with suppress(Unavailable):  # then the keys are a debt, and dropped before anything is read again
            self._leases.reserve(list(effects), token)
        try:
            session.commit()
        except BaseException:
            effects = dict.fromkeys(effects)
            raise
        finally:
            with suppress(Unavailable):
                self._leases.settle(effects, token)

    def invalidate(self, namespace: str, key: str) -> None:
        with suppress(Unavailable):
            self._leases.drop([self._keys.entry(namespace, key)])

    def fetch(self, question: Question, load: Callable[[], Any]) -> Read:
        key = self._keys.answer(question)
        return self._aside.read([key], lambda _: {key: load()})[key]

    def close(self) -> None:
        self._pool.close()
        self._leases.close()


def open_repository(
    means: Means,
    *,
    repository: type[EntryRepository] = EntryRepository,
    leases: type[Leases] = Leases,
    keys: type[Keys] = Keys,
) -> EntryRepository:
    """The default cache under test. Each part can be replaced by one that differs from it."""
    client = redis.Redis(
        host=means.redis_host,
        port=means.redis_port,
        password=means.redis_password,
        socket_timeout=ANSWER,
        socket_connect_timeout=ANSWER,
        retry=Retry(NoBackoff(), 0),  # the breaker decides when to try again
        protocol=2,  # with 3 redis-py no longer notices that the server has closed an idle connection
    )
    kept = leases(
        client,
        Breaker(RETRY),
        time_to_live=min(means.time_to_live, means.staleness_bound),
        lease=LEASE,
        staleness_bound=means.staleness_bound,
    )
    return repository(kept, SessionPool(means.connect, SESSIONS), keys(means.prefix), means.profile)
