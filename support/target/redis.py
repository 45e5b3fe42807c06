"""What a Redis server says of itself.

A client of Redis, past the application's cache.
"""

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
    """From INFO alone: managed servers refuse CONFIG."""

    product: str
    """Redis or Valkey."""
    version: tuple[int, ...]
    mode: str
    """standalone, cluster or sentinel."""
    role: str
    """master or slave, in Redis's own words."""
    eviction: str
    """What it drops when its memory is full, such as allkeys-lru."""
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
    """The facts now. Raises AssertionError when Redis gives no answer: it was there when the run began."""
    try:
        said: dict[str, Any] = client.info()
    except redis.RedisError as error:
        raise AssertionError(f"Redis gave no answer: {describe(error)}") from error
    product = "Valkey" if "valkey_version" in said else "Redis"
    version = str(said.get("valkey_version", said.get("redis_version", "0")))
    return RedisFacts(
        product=product,
        version=tuple(int(part) for part in re.findall(r"\d+", version)[:3]),
        mode=str(said.get("server_mode", said.get("redis_mode", "unknown"))),
        role=str(said.get("role", "unknown")),
        eviction=str(said.get("maxmemory_policy", "unknown")),
        memory_limit=int(said.get("maxmemory", 0)),
        memory_used=int(said.get("used_memory", 0)),
        evicted=int(said.get("evicted_keys", 0)),
    )


def client_of(server: RedisAddress, timeout: float = REST) -> redis.Redis:
    """A client that tries once: redis-py would try three times with pauses, and hide that the server is gone.

    `timeout` in seconds bounds the connecting and each answer.
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
