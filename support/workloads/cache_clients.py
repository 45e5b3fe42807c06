"""Clients of the cache under test: each has a repository of its own, as a process of the application has."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from support.application.cache import CacheRepository, Means
from support.application.cache.opening import opener
from support.application.profile import relation
from support.cluster.cluster import Cluster
from support.cluster.topology import Address
from support.errors import NotAvailable
from support.workloads.cache_sessions import WatchedSessions

LONG = 60.0
"""Seconds: a time to live, and a staleness bound, that no scenario outlasts."""


@dataclass(frozen=True)
class CacheClient:
    """A repository, and the sessions through which it works."""

    repository: CacheRepository
    sessions: WatchedSessions


@dataclass(frozen=True)
class CacheClients:
    """Opens clients for one scenario, which closes them with its `cleanup`."""

    cluster: Cluster
    name: str
    """The cache under test, as the setting names it."""
    prefix: str
    """What every key in Redis begins with."""
    cleanup: ExitStack

    def open_many(self, count: int, **options: Any) -> list[CacheClient]:
        """So many clients, each as `open` opens it."""
        return [self.open(**options) for _ in range(count)]

    def open(
        self, *, time_to_live: float = LONG, staleness_bound: float = LONG, redis: Address | None = None
    ) -> CacheClient:
        """One more client; times in seconds. `redis` is where to reach Redis, when not where it is."""
        server = self.cluster.topology.redis
        if server is None:
            raise NotAvailable("the target has no Redis (REDIS_HOST)")
        sessions = WatchedSessions(self.cluster.write, relation(self.cluster.profile.entries.table))
        self.cleanup.callback(sessions.close)
        means = Means(
            redis_host=(redis or server.address).host,
            redis_port=(redis or server.address).port,
            redis_password=server.password,
            connect=sessions.connect,
            profile=self.cluster.profile,
            prefix=self.prefix,
            time_to_live=time_to_live,
            staleness_bound=staleness_bound,
        )
        repository = opener(self.name)(means)
        self.cleanup.callback(repository.close)
        return CacheClient(repository, sessions)
