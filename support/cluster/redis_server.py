"""A client of Redis, past the application's cache."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.cluster.topology import RedisAddress
from support.timeouts import REST


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
