"""A cache repository as it is written in an afternoon: no base class, nothing of the default in it.

It shows how little a repository of your own takes. It is right only as long as nothing happens at the same time.
In the setting ACCEPT_CACHE_REPOSITORY it is "tests.naive_cache:NaiveCache".
"""

import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from support import sql
from support.example_app.cache import CacheConfig, Question, Read, Source
from support.example_app.entries import EntryStore
from support.example_app.sessions import SessionPool

UPSERT = """
    INSERT INTO {entries} ({entries.namespace}, {entries.key}, {entries.value}) VALUES (%s, %s, %s)
    ON CONFLICT ({entries.namespace}, {entries.key}) DO UPDATE SET {entries.value} = excluded.{entries.value}
"""


class NaiveCache:
    """Looks, loads, stores; drops after a change. Right as long as nothing happens at the same time."""

    def __init__(self, config: CacheConfig) -> None:
        self.redis = redis.Redis(config.redis_host, config.redis_port, password=config.redis_password)
        self.session, self.config = SessionPool(config.connect, 16).session, config

    def name(self, *parts: object) -> str:
        return self.config.prefix + json.dumps(parts, default=repr)

    def keep(self, name: str, value: Any) -> None:
        self.redis.set(name, pickle.dumps(value), px=int(self.config.time_to_live * 1000))

    def look(self, name: str, load: Callable[[], Any]) -> Read:
        found = self.redis.get(name)
        if isinstance(found, bytes):
            return Read(pickle.loads(found), Source.CACHE)
        value = load()
        self.keep(name, value)
        return Read(value, Source.DATABASE)

    def read(self, namespace: str, key: str) -> Read:
        def load() -> str | None:
            with self.session() as session:
                found = EntryStore(session, self.config.profile).find(namespace, key)
            return found[0].value if found else None

        return self.look(self.name("entry", namespace, key), load)

    def read_many(self, namespace: str, keys: Sequence[str]) -> Mapping[str, Read]:
        return {key: self.read(namespace, key) for key in keys}

    def write(self, namespace: str, key: str, value: str) -> None:
        with self.session() as session:
            sql.execute(session, self.config.profile.sql(UPSERT), [namespace, key, value])
        self.keep(self.name("entry", namespace, key), value)

    def write_many(self, namespace: str, values: Mapping[str, str]) -> None:
        for key, value in values.items():
            self.write(namespace, key, value)

    def update(self, namespace: str, key: str, value: str) -> bool:
        with self.session() as session:
            changed = EntryStore(session, self.config.profile).update(namespace, key, value)
        self.invalidate(namespace, key)
        return changed > 0

    def delete(self, namespace: str, key: str) -> bool:
        with self.session() as session:
            deleted = EntryStore(session, self.config.profile).delete(namespace, key)
        self.invalidate(namespace, key)
        return deleted > 0

    def invalidate(self, namespace: str, key: str) -> None:
        self.redis.delete(self.name("entry", namespace, key))

    @contextmanager
    def transaction(self) -> Iterator["NaiveCache"]:
        """Every change commits by itself, and is in the cache at once: no transaction at all."""
        yield self

    def fetch(self, question: Question, load: Callable[[], Any]) -> Read:
        return self.look(self.name(question.namespace, question.table, question.parameters), load)

    def close(self) -> None:
        self.redis.close()
