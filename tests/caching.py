"""What the tests of the cache share: leases on a throw-away Redis, and a database that the test controls."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.example_app.cache import Source
from support.example_app.cache.leases import Breaker, Leases
from support.example_app.cache.repository import CacheAside

ANSWER, RETRY, LEASE, TTL = 0.5, 0.5, 1.0, 30.0  # seconds


def leases_on(
    port: int,
    time_to_live: float = TTL,
    lease: float = LEASE,
    staleness_bound: float = TTL,
    kind: Callable[..., Leases] = Leases,
) -> Leases:
    """Leases as one more process of the application has them."""
    once = Retry(NoBackoff(), 0)
    client = redis.Redis(port=port, socket_timeout=ANSWER, socket_connect_timeout=ANSWER, protocol=2, retry=once)
    return kind(client, Breaker(RETRY), time_to_live=time_to_live, lease=lease, staleness_bound=staleness_bound)


class Database:
    """Answers the loads of a test, and counts them."""

    def __init__(self, value: Any = "value") -> None:
        self.value, self.loads = value, 0
        self.asked, self.answering = threading.Event(), threading.Event()
        self.answering.set()
        self._lock = threading.Lock()

    def load(self, keys: list[str]) -> Mapping[str, Any]:
        with self._lock:
            self.loads += 1
            answer = self.value
        self.asked.set()
        assert self.answering.wait(10)
        return dict.fromkeys(keys, answer)


def value_of(cache: CacheAside, database: Database, key: str = "k") -> tuple[Any, Source]:
    read = cache.read([key], database.load)[key]
    return read.value, read.source
