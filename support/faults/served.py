"""Faults of proxies and caches. They count as in effect only if they hit the instance that clients use.

There may be several instances, and the address that clients know may belong to another one.
"""

from contextlib import suppress
from dataclasses import dataclass

import redis

from support import sql
from support.errors import Inconclusive
from support.faults.process import Freeze, Kill, Restart
from support.hosts.interface import SiteHost, SiteProgram
from support.target.cluster import Cluster
from support.target.component_hosts import proxy_host
from support.target.redis import client_of, require_answer
from support.target.topology import RedisAddress
from support.waiting import NotYet

_SILENT = 1.0
"""Seconds without an answer after which a Redis counts as silent: normally it answers within milliseconds."""


class ProxyRestarted(Restart):
    """The proxy is killed with all its sessions (kill -9), and started again at once."""

    def __init__(self, proxy: SiteProgram, write: sql.Endpoint) -> None:
        """`write`: the endpoint to which the proxy leads."""
        super().__init__(proxy)
        self._write = write
        self._session: sql.Session | None = None

    def inject(self) -> None:
        self._session = sql.connect(self._write, statement_timeout=_SILENT)
        sql.value(self._session, "SELECT 1")  # begins a transaction, so that a pooler assigns a server to the session
        super().inject()

    def require_in_effect(self) -> None:
        """Also requires that the session from before the kill is gone. Raises Inconclusive if it is not."""
        super().require_in_effect()
        session, self._session = self._session, None
        if session is None:
            return
        try:
            lost = sql.error_of(lambda: sql.value(session, "SELECT 1"))
        finally:
            session.close()
        if lost is None:
            raise Inconclusive(f"{self}, but a session from before is still open: clients use another proxy")

    def heal(self) -> None:
        session, self._session = self._session, None
        if session is not None:  # nothing was done, or whether it had an effect was not seen
            session.close()
        super().heal()


@dataclass(kw_only=True)
class RedisKilled(Kill):
    """Redis is killed (kill -9); its host stays up. `server` is the instance that takes writes."""

    server: RedisAddress

    def require_in_effect(self) -> None:
        _require_silent(self.server)
        super().require_in_effect()


class RedisFrozen(Freeze):
    """The host of Redis is suspended. `server` is the instance that takes writes."""

    def __init__(self, host: SiteHost, *, server: RedisAddress) -> None:
        super().__init__(host)
        self.server = server

    def require_in_effect(self) -> None:
        super().require_in_effect()
        _require_silent(self.server)


def _require_silent(server: RedisAddress) -> None:
    with suppress(redis.ConnectionError, redis.TimeoutError), client_of(server, _SILENT) as client:
        require_answer(client)
        raise NotYet(f"the Redis at {server.address} still answers: another instance was hit")


def restart_of_proxy(cluster: Cluster) -> ProxyRestarted:
    """The proxy is killed, and started again at once."""
    return ProxyRestarted(proxy_host(cluster).processes["haproxy"], cluster.write)
