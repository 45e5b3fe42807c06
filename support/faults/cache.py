"""What can become of Redis: gone, silent, empty, full."""

from collections.abc import Callable, Mapping

import redis

from support.cluster.cluster import Cluster
from support.errors import Inconclusive
from support.faults.nemesis import Fault
from support.faults.process import Freeze, Kill
from support.faults.restart import Restart
from support.faults.targets import cache_host
from support.hosts import Process
from support.waiting import NotYet

_PROBE = "accept-probe"


class Emptied:
    """Redis is killed and started again at once, with nothing of what it held."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._restart = cluster, Restart(_server(cluster))

    def __str__(self) -> str:
        return f"{self._restart}, empty"

    def inject(self) -> None:
        with self._cluster.redis() as client:
            client.set(_PROBE, "", ex=60)
        self._restart.inject()

    def require_bitten(self) -> None:
        self._restart.require_bitten()
        with self._cluster.redis() as client:
            try:
                kept = client.exists(_PROBE)
            except redis.ConnectionError as error:
                raise NotYet(f"Redis does not answer: {error}") from error
        if kept:
            raise Inconclusive("Redis, started again, holds what it held before")

    def cure(self) -> None:
        self._restart.cure()


class Full:
    """Redis holds as much as it may, and has been told to evict nothing: it serves what it has, and takes no more."""

    _SETTINGS: Mapping[str, str] = {"maxmemory-policy": "noeviction", "maxmemory": "1"}

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._before: dict[str, str] = {}

    def __str__(self) -> str:
        return "Redis is full"

    def inject(self) -> None:
        with self._cluster.redis() as client:
            self._before = {name: client.config_get(name)[name] for name in self._SETTINGS}
            self._configure(client, self._SETTINGS)

    def require_bitten(self) -> None:
        with self._cluster.redis() as client:
            try:
                client.set(_PROBE, "", ex=1)
            except redis.OutOfMemoryError:
                return
        raise NotYet("Redis takes writes")

    def cure(self) -> None:
        with self._cluster.redis() as client:
            self._configure(client, self._before)

    @staticmethod
    def _configure(client: redis.Redis, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            client.config_set(name, value)


OUTAGES: Mapping[str, Callable[[Cluster], Fault]] = {
    "is killed": lambda cluster: Kill(_server(cluster)),
    "freezes": lambda cluster: Freeze(cache_host(cluster)),
    "is restarted empty": Emptied,
    "is full": Full,
}
"""What becomes of it, in the users' words -> the fault."""


def _server(cluster: Cluster) -> Process:
    return cache_host(cluster).processes["redis"]
