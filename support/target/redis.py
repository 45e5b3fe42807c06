"""Redis, one server or several: a client of it, which bypasses the application's cache, and what it reports."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from support.errors import LimitExceeded, NotAvailable
from support.target.topology import Address, RedisAddress
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
    """In bytes, as far as it counts for the limit: without the buffers of replicas and of the append-only file."""
    evicted: int
    """How many keys it has evicted since it started."""

    def __str__(self) -> str:
        limit = f"{self.memory_limit / 2**20:.0f} MB" if self.memory_limit else "no limit"
        version = ".".join(map(str, self.version))
        return f"{self.product} {version}, {self.mode}, {self.role}, {self.eviction}, {limit}"


ERRORS = (redis.RedisError, redis.exceptions.RedisClusterException)
"""What a client raises if Redis gives no usable answer."""
FORBIDDEN = redis.exceptions.NoPermissionError
"""What a client raises if Redis answers that its user may not use a command, or a key: it is neither down nor full."""
_ONCE = Retry(NoBackoff(), 0)


MOST_FILLED = 512 * 2**20
"""Bytes; the suite does not try to fill a Redis with a higher memory limit."""


def require_answer(client: redis.Redis) -> None:
    """Raises one of ERRORS unless Redis answers and accepts the login, whatever that login may do there."""
    with suppress(FORBIDDEN):
        client.ping()


def no_answer(error: Exception) -> AssertionError:
    """What one of ERRORS says of a Redis that answered when the run began.

    Only late if nothing came in time: then it may be slow. A Redis that is down, or refuses the login, says so at once.
    """
    kind: type[AssertionError] = LimitExceeded if isinstance(error, redis.TimeoutError) else AssertionError
    return kind(f"Redis does not answer: {describe(error)}")


def facts_of(client: redis.Redis) -> RedisFacts:
    """The facts now; of a Redis Cluster, those of all its primaries together.

    Raises AssertionError when Redis does not answer (`no_answer`), NotAvailable where its user may not ask.
    """
    try:
        each = [facts_in(info) for info in infos_of(client)]
    except FORBIDDEN as error:
        raise NotAvailable(f"Redis does not show its state to this user: {describe(error)}") from error
    except ERRORS as error:
        raise no_answer(error) from error
    unlimited = any(one.memory_limit == 0 for one in each)
    return replace(
        each[0],
        version=min(one.version for one in each),
        role="/".join(dict.fromkeys(one.role for one in each)),
        eviction="/".join(dict.fromkeys(one.eviction for one in each)),
        memory_limit=0 if unlimited else sum(one.memory_limit for one in each),
        memory_used=sum(one.memory_used for one in each),
        evicted=sum(one.evicted for one in each),
    )


def kept_by(info: Mapping[str, Any]) -> str:
    """What keeps the data over a crash of the server, by its answer to INFO: why a restart does not empty it."""
    if int(info.get("aof_enabled", 0)):
        return "Redis keeps its data in an append-only file (appendonly yes): a restart does not empty it"
    return ""


def replica_facts(server: RedisAddress) -> dict[str, RedisFacts | str]:
    """Address -> the facts of each server that may have to take over from a primary, or why it does not tell them.

    None without Sentinel or Redis Cluster; with Sentinel, none whose replica-priority is 0. Raises AssertionError when
    nobody says which servers there are.
    """
    try:
        primaries = {one.address for one in primaries_of(server)}
        others = [one for one in servers_of(server) if one.address not in primaries]
    except ERRORS as error:
        raise no_answer(error) from error
    found: dict[str, RedisFacts | str] = {}
    for one in others:
        try:
            with client_of(one) as client:
                info = client.info()
            if server.mode == "sentinel" and not int(info.get("slave_priority", 1)):
                continue
            found[str(one.address)] = facts_in(info)
        except ERRORS as error:
            found[str(one.address)] = describe(error)
    return found


def infos_of(client: redis.Redis) -> list[dict[str, Any]]:
    """What INFO says on the server, or on every primary of a Redis Cluster."""
    if not isinstance(client, RedisCluster):
        return [client.info()]
    return [client.info(target_nodes=node) for node in client.get_primaries()]


_ROLES = {"active-replica": "master"}
"""What KeyDB calls a server that takes writes and those of another one as well -> what it is to its clients."""


def facts_in(info: Mapping[str, Any]) -> RedisFacts:
    """The facts in one server's answer to INFO."""
    product = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version", info.get("redis_version", "0")))
    return RedisFacts(
        product=product,
        version=tuple(int(part) for part in re.findall(r"\d+", version)[:3]),
        mode=str(info.get("server_mode", info.get("redis_mode", "unknown"))),
        role=_ROLES.get(role := str(info.get("role", "unknown")), role),
        eviction=str(info.get("maxmemory_policy", "unknown")),
        memory_limit=int(info.get("maxmemory", 0)),
        memory_used=int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0)),
        evicted=int(info.get("evicted_keys", 0)),
    )


def unreachable(facts: RedisFacts) -> str:
    """Why the memory limit cannot be reached by storing data; empty if it can be."""
    if 0 < facts.memory_limit <= MOST_FILLED:
        return ""
    return f"the memory limit of Redis ({facts}) cannot be reached by storing {MOST_FILLED / 2**20:.0f} MB"


def client_of(server: RedisAddress, timeout: float = REST, **further: Any) -> redis.Redis:
    """A client that tries once: by default redis-py tries three times, which would hide that the server is gone.

    `timeout` (seconds) limits the connect and each answer; `further` are arguments of redis-py. With Sentinel, it is a
    client of whichever server the Sentinels call the master. Of a Redis Cluster, it is one of all nodes; raises one of
    ERRORS at once if no node tells which these are.
    """
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": _ONCE}
    common = {**limits, "username": server.user, "password": server.password, **_tls(server), **further}
    if server.mode == "cluster":
        nodes = [ClusterNode(one.host, one.port) for one in server.addresses]
        try:
            cluster = RedisCluster(startup_nodes=nodes, require_full_coverage=False, **common)
        except IndexError as error:  # so redis-py says that the nodes which answer know of no primary
            raise redis.exceptions.RedisClusterException("no node knows of a primary that has slots") from error
        return cast(redis.Redis, cluster)  # it has the same commands
    if server.mode == "sentinel":
        master = sentinel_of(server, timeout).master_for(server.service, db=server.database, **common)
        return cast(redis.Redis, master)
    return redis.Redis(host=server.address.host, port=server.address.port, db=server.database, **common)


def sentinel_of(server: RedisAddress, timeout: float = REST) -> Sentinel:
    """The Sentinels, each asked once."""
    login = server.sentinel_login
    user, password = (login.user or None, login.password) if login else (None, None)
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": _ONCE}
    asked = {**limits, "username": user, "password": password, **_tls(server)}
    return Sentinel([(one.host, one.port) for one in server.addresses], sentinel_kwargs=asked)


def primaries_of(server: RedisAddress) -> tuple[RedisAddress, ...]:
    """Each server that takes writes now: the one, the Sentinels' master, or every primary of a Redis Cluster."""
    if server.mode == "standalone":
        return (server,)
    alone = replace(server, mode="standalone", further=(), sentinel_login=None)
    if server.mode == "sentinel":
        return (replace(alone, address=Address(*sentinel_of(server).discover_master(server.service))),)
    with client_of(server) as client:
        found = [Address(str(one.host), int(one.port)) for one in cast(RedisCluster, client).get_primaries()]
    return tuple(replace(alone, address=address) for address in sorted(found, key=str))


def servers_of(server: RedisAddress) -> tuple[RedisAddress, ...]:
    """Each server that holds data: the only one, the Sentinels' master and replicas, or all of a Redis Cluster."""
    alone = replace(server, mode="standalone", further=(), sentinel_login=None)
    if server.mode == "sentinel":
        replicas = [Address(*one) for one in sentinel_of(server).discover_slaves(server.service)]
        return (primary_of(server), *(replace(alone, address=address) for address in replicas))
    if server.mode == "cluster":
        with client_of(server) as client:
            found = [Address(str(one.host), int(one.port)) for one in cast(RedisCluster, client).get_nodes()]
        return tuple(replace(alone, address=address) for address in sorted(found, key=str))
    return (server,)


def sentinels_of(server: RedisAddress) -> tuple[RedisAddress, ...]:
    """Each Sentinel, as a server with the Sentinels' own login."""
    if server.mode != "sentinel":
        return ()
    login = server.sentinel_login
    user, password = (login.user or None, login.password) if login else (None, None)
    alone = replace(server, mode="standalone", further=(), sentinel_login=None, database=0)
    return tuple(replace(alone, address=one, user=user, password=password) for one in server.addresses)


def primary_of(server: RedisAddress) -> RedisAddress:
    """One server that takes writes now."""
    return primaries_of(server)[0]


def replicas_of(server: RedisAddress) -> dict[Address, RedisAddress]:
    """Primary -> a replica that could take over from it; a primary without one is left out.

    At the addresses that Sentinels and nodes announce.
    """
    alone = replace(server, mode="standalone", further=(), sentinel_login=None)
    if server.mode == "sentinel":
        at = {primary_of(server).address: address for address in _that_take_over(server)[:1]}
        return {primary: replace(alone, address=address) for primary, address in at.items()}
    found: dict[Address, RedisAddress] = {}
    if server.mode == "cluster":
        with client_of(server) as client:
            slots = cast(RedisCluster, client).nodes_manager.slots_cache
        for primary, *replicas in slots.values():
            for one in replicas[:1]:
                follows = replace(alone, address=Address(str(one.host), int(one.port)))
                found[Address(str(primary.host), int(primary.port))] = follows
    return found


def _that_take_over(server: RedisAddress) -> list[Address]:
    """The replicas from which Sentinels choose: they are up, and their replica-priority is not 0."""
    for sentinel in sentinel_of(server).sentinels:
        try:
            states = sentinel.sentinel_slaves(server.service)
        except (redis.ConnectionError, redis.TimeoutError):
            continue
        able = (one for one in states if not (one["is_sdown"] or one["is_odown"]) and int(one["slave-priority"]))
        return [Address(str(one["ip"]), int(one["port"])) for one in able]
    return []


def role_of(client: redis.Redis) -> str:
    """master or slave, as a server of data calls itself."""
    role, *_ = client.execute_command("ROLE")
    return role.decode() if isinstance(role, bytes) else str(role)


def keys_at(server: RedisAddress, prefix: str, within: float) -> list[bytes]:
    """The keys of one server that begin with the prefix; of very many, those that are found in that time (seconds)."""
    until = time.monotonic() + within
    with client_of(server) as client:
        return [key for some in scan(client, prefix, until) for key in some]


def scan(client: redis.Redis, prefix: str, until: float) -> Iterator[list[bytes]]:
    """The keys of one server that begin with the prefix, some at a time; not all if `until` (monotonic) comes first.

    Redis has no index of its keys: it walks through all of them, in small steps, which others hardly notice.
    """
    cursor = 0
    while time.monotonic() < until:
        cursor, found = client.scan(cursor, match=f"{prefix}*", count=1000)
        yield cast(list[bytes], found)  # our clients decode nothing
        if cursor == 0:
            break


def unlink(client: redis.Redis, keys: Sequence[bytes]) -> int:
    """Delete keys of one server in one round trip; returns how many there were."""
    pipeline = client.pipeline(transaction=False)  # one command for all would need keys of one slot in a Redis Cluster
    for key in keys:
        pipeline.unlink(key)
    return sum(map(int, pipeline.execute())) if keys else 0


def _tls(server: RedisAddress) -> dict[str, Any]:
    if server.tls is None:
        return {}
    return {
        "ssl": True,
        "ssl_ca_certs": server.tls.authorities,
        "ssl_certfile": server.tls.certificate,
        "ssl_keyfile": server.tls.key,
        "ssl_check_hostname": not server.tls.any_host,
    }
