"""A Redis server: a client of it, which bypasses the application's cache, and what it reports about itself."""

import re
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.target.topology import RedisAddress
from support.timeouts import REST
from support.waiting import describe


@dataclass(frozen=True)
class RedisFacts:
    """What INFO reports; managed servers refuse CONFIG."""

    product: str
    """Redis or Valkey."""
    version: tuple[int, ...]
    mode: str
    """standalone, cluster or sentinel."""
    role: str
    """master or slave, as Redis calls it."""
    eviction: str
    """The eviction policy, such as allkeys-lru."""
    memory_limit: int
    """In bytes; 0 means none."""
    memory_used: int
    """In bytes."""
    evicted: int
    """How many keys it has evicted since it started."""

    def __str__(self) -> str:
        limit = f"{self.memory_limit / 2**20:.0f} MB" if self.memory_limit else "no limit"
        version = ".".join(map(str, self.version))
        return f"{self.product} {version}, {self.mode}, {self.role}, {self.eviction}, {limit}"


def facts_of(client: redis.Redis) -> RedisFacts:
    """The facts now. Raises AssertionError when Redis does not answer: it did when the run began."""
    try:
        info: dict[str, Any] = client.info()
    except redis.RedisError as error:
        raise AssertionError(f"Redis does not answer: {describe(error)}") from error
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version", info.get("redis_version", "0")))
    return RedisFacts(
        product=product,
        version=tuple(int(part) for part in re.findall(r"\d+", version)[:3]),
        mode=str(info.get("server_mode", info.get("redis_mode", "unknown"))),
        role=str(info.get("role", "unknown")),
        eviction=str(info.get("maxmemory_policy", "unknown")),
        memory_limit=int(info.get("maxmemory", 0)),
        memory_used=int(info.get("used_memory", 0)),
        evicted=int(info.get("evicted_keys", 0)),
    )


def client_of(server: RedisAddress, timeout: float = REST) -> redis.Redis:
    """A client that tries once: by default redis-py tries three times, which would hide that the server is gone.

    `timeout` (seconds) limits the connect and each answer.
    """
    return redis.Redis(
        host=server.address.host,
        port=server.address.port,
        username=server.user,
        password=server.password,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )
