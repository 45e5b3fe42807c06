"""The default cache repository: cache-aside reads, write-through writes; see the package's docstring."""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from zlib import crc32

from psycopg2.extensions import ISOLATION_LEVEL_READ_COMMITTED

from support import sql
from support.example_app.cache.codec import decode, encode
from support.example_app.cache.interface import CacheConfig, Question, Read, Source
from support.example_app.cache.leases import Breaker, Leases, Unavailable
from support.example_app.entries import INSERT_ENTRY, EntryStore
from support.example_app.profile import Profile
from support.example_app.sessions import SessionPool
from support.waiting import pause

Load = Callable[[list[str]], Mapping[str, Any]]
"""Loads the values of some keys from the database; it returns one for each key."""

FIRST_POLL, LONGEST_POLL = 0.004, 0.05  # seconds between two checks whether another reader's load has arrived


class CacheAside:
    """Reads keys from the cache, and loads those that it does not have: one load for all concurrent misses.

    `patience` (seconds) is how long a reader waits for another reader's load before it loads for itself.
    """

    def __init__(self, leases: Leases, patience: float) -> None:
        self._leases, self._patience = leases, patience

    def read(self, keys: Iterable[str], load: Load) -> dict[str, Read]:
        """One result for each key. Cached keys cost one round trip, for all of them together."""
        asked = list(dict.fromkeys(keys))
        reads: dict[str, Read] = {}
        with suppress(Unavailable):
            self._read_through(asked, load, reads)
        rest = [key for key in asked if key not in reads]
        return reads | (_loaded(rest, load) if rest else {})

    def _read_through(self, asked: list[str], load: Load, reads: dict[str, Read]) -> None:
        """Add to `reads` what can be read through the cache. Raises Unavailable when Redis fails meanwhile."""
        token = secrets.token_hex(8)
        give_up, wait = time.monotonic() + self._patience, FIRST_POLL
        while missing := [key for key in asked if key not in reads]:
            looked = self._leases.look(missing, token)
            reads.update(self._hits(looked.found))
            if looked.leased:
                self._load_leased(looked.leased, token, load, reads)
            unreadable = looked.found.keys() - reads.keys()  # dropped by now
            if not (looked.busy or unreadable) or time.monotonic() > give_up:
                return
            pause(wait)
            wait = min(wait * 1.5, LONGEST_POLL)

    def _load_leased(self, keys: list[str], token: str, load: Load, reads: dict[str, Read]) -> None:
        try:
            loaded = _loaded(keys, load)
            values = {key: encode(read.value) for key, read in loaded.items()}
        except BaseException:
            with suppress(Unavailable):
                self._leases.drop(keys)  # so that nobody waits for the lease to expire
            raise
        reads.update(loaded)
        self._leases.fill(values, token)

    def _hits(self, found: Mapping[str, bytes]) -> dict[str, Read]:
        hits: dict[str, Read] = {}
        for key, encoded in found.items():
            try:
                hits[key] = Read(decode(encoded), Source.CACHE)
            except ValueError:  # not written by us: drop it, so that the key can be filled again
                self._leases.drop([key])
        return hits


def _loaded(keys: Sequence[str], load: Load) -> dict[str, Read]:
    values = load(list(keys))
    return {key: Read(values[key], Source.DATABASE) for key in keys}


@dataclass(frozen=True)
class Keys:
    """Keys in Redis. Two keys are the same only if all their parts are: the encoding of the parts is one to one.

    Those of a namespace have one hash tag, so that a Redis Cluster keeps them on one node.
    """

    prefix: str

    def entry(self, namespace: str, key: str) -> str:
        """The key of an entry's value."""
        return self._tag(namespace) + self._name("entry", namespace, key)

    def answer(self, question: Question) -> str:
        """The key of a query's result."""
        named = self._name("answer", question.table, question.namespace, list(question.parameters))
        return self._tag(question.namespace) + named

    def _tag(self, namespace: str) -> str:
        return f"{self.prefix}{{{crc32(namespace.encode()):x}}}"

    def _name(self, *parts: object) -> str:
        return encode(list(parts)).decode("ascii")


ANSWER = 0.5
"""Seconds that Redis has for an answer; if it takes longer, the database is asked instead."""
RETRY = 1.0
"""Seconds after a failure before Redis is asked again."""
LEASE = 3.0
"""Seconds that a load or a commit may take if its value is to be cached, and that readers wait for another's load."""
SESSIONS = 16
"""Database sessions at the same time, at most."""

_SELECT = (
    "SELECT {entries.key}, {entries.value} FROM {entries} WHERE {entries.namespace} = %s AND {entries.key} = ANY(%s)"
)
_LOCK = "SELECT pg_advisory_xact_lock(%s)"


def _number_of(namespace: str, key: str) -> int:
    """The number of an entry's lock. Writers of two entries with the same number only wait for one another."""
    return int.from_bytes(blake2b(encode([namespace, key]), digest_size=8).digest(), signed=True)


class EntryTransaction:
    """Changes made in one session, and what each means for the cache once they are committed."""

    def __init__(self, session: sql.Session, keys: Keys, profile: Profile) -> None:
        self._session, self._keys, self._profile = session, keys, profile
        self.effects: dict[str, bytes | None] = {}
        """Key in the cache -> the value to store there; None to drop the key."""

    def write(self, namespace: str, key: str, value: str) -> None:
        """Change the entry, or store it. ON CONFLICT would need a unique index on namespace and key alone."""
        entries = EntryStore(self._session, self._profile)
        if not entries.update(namespace, key, value):
            sql.rows(self._session, _LOCK, [_number_of(namespace, key)])  # or two writers would both store it
            if not entries.update(namespace, key, value):
                sql.execute(self._session, self._profile.sql(INSERT_ENTRY), [namespace, key, value])
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
            for key, value in sorted(values.items()):  # in one order, so that two calls cannot deadlock
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
            # Whatever the default level of the role or database: at a higher one, writers of an entry conflict.
            session.isolation_level = ISOLATION_LEVEL_READ_COMMITTED
            session.autocommit = False
            transaction = EntryTransaction(session, self._keys, self._profile)
            try:
                yield transaction
            except BaseException:
                with suppress(sql.Error):  # a lost session has rolled back by itself
                    session.rollback()
                raise
            self._commit(session, transaction.effects)

    def _commit(self, session: sql.Session, effects: Mapping[str, bytes | None]) -> None:
        """Reserve, commit, settle. An error after the reservation drops the keys: the worst result is a miss."""
        token = secrets.token_hex(8)
        with suppress(Unavailable):  # then the keys are a debt, and are dropped before anything is read again
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
    config: CacheConfig,
    *,
    repository: type[EntryRepository] = EntryRepository,
    leases: type[Leases] = Leases,
    keys: type[Keys] = Keys,
) -> EntryRepository:
    """The default cache under test. Each part can be replaced by a variant of it."""
    client = config.open_redis(  # one that tries once: the breaker decides when to try again
        ANSWER,
        protocol=2,  # with 3 redis-py no longer notices that the server has closed an idle connection
    )
    kept = leases(
        client,
        Breaker(RETRY),
        time_to_live=min(config.time_to_live, config.staleness_bound),
        lease=LEASE,
        staleness_bound=config.staleness_bound,
    )
    pool = SessionPool(config.connect, min(config.sessions, SESSIONS))
    return repository(kept, pool, keys(config.prefix), config.profile)
