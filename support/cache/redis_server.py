"""The Redis server behind the cache: whether it takes a write, when keys expire, and how it acts when it is full."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import redis
from redis.cluster import RedisCluster

from support.engine.finding import Finding, listed
from support.errors import Inconclusive, NotAvailable
from support.target.cluster import Cluster
from support.target.redis import ERRORS, FORBIDDEN, RedisFacts, facts_of, no_answer, unreachable
from support.waiting import describe

_VALUE = 64 * 1024  # bytes of one value
_CHUNK = 32  # values in one round trip: 2 MB
_TTL = 60  # seconds
_NAMES = 16384  # names of keys that are tried, to have one for each primary: as many as there are slots
_KEPT = 60.0
"""Seconds for which what fills Redis stays there once it is full, if the run is killed. Policies that evict only keys
with an expiry need such keys."""
_SLOWER = 2.0
"""How much longer the filling may take than its beginning suggests, without anything expiring."""


@dataclass(frozen=True)
class MemoryPressure:
    """What happened when more was stored than the memory limit allows."""

    before: RedisFacts
    after: RedisFacts
    stored: int
    """How many keys were written."""
    refused: int
    """How many of these writes were refused."""
    refusal: str
    """The error of the first write that was refused."""

    @property
    def evicted(self) -> int:
        return self.after.evicted - self.before.evicted


@contextmanager
def reached(cluster: Cluster) -> Iterator[redis.Redis]:
    """A client of Redis. Raises AssertionError when a Redis Cluster does not answer, which is asked for its nodes."""
    with ExitStack() as opened:
        try:
            client = opened.enter_context(cluster.redis())
        except ERRORS as error:
            raise no_answer(error) from error
        yield client


@contextmanager
def memory_pressure(client: redis.Redis, prefix: str) -> Iterator[MemoryPressure]:
    """Store one and a half times as much as the memory limit allows, and delete it at the end.

    Raises Inconclusive where there is no limit, or one too high to reach; or if that took so long that keys expired.
    """
    before = facts_of(client)
    if why := unreachable(before):
        raise Inconclusive(why)
    keys = [f"{prefix}-pressure-{number}" for number in range(before.memory_limit * 3 // 2 // _VALUE)]
    try:
        lifetime = _KEPT + _SLOWER * _seconds_to_store(client, keys)
        begun = time.monotonic()
        refusals = _store(client, keys, lifetime)
        if (took := time.monotonic() - begun) > lifetime:
            raise Inconclusive(f"storing {len(keys)} keys took {took:.0f} s: the first ones expired, and left room")
        yield MemoryPressure(before, facts_of(client), len(keys), len(refusals), refusals[0] if refusals else "nothing")
    finally:
        client.unlink(*keys)


def each_replica(found: Mapping[str, RedisFacts | str], fits: Callable[[RedisFacts], bool], should: str) -> Finding:
    """Each server that may have to take over is fit for it, too: settings are not replicated.

    `should` says what it should do. Unknown if one did not report its state, and none that did is unfit.
    """
    told = {address: facts for address, facts in found.items() if isinstance(facts, RedisFacts)}
    if unfit := [f"the one at {address} ({facts})" for address, facts in told.items() if not fits(facts)]:
        return Finding.false(f"replicas that do not {should}, and would be the cache after a failover: {listed(unfit)}")
    if silent := [f"{address}: {why}" for address, why in found.items() if address not in told]:
        return Finding.unknown(f"replicas that do not report their state: {listed(silent)}")
    return Finding.true(f"{len(told)} replicas that {should}")


def _seconds_to_store(client: redis.Redis, keys: Sequence[str]) -> float:
    """How long it will take to set all keys, by how long the first ones take; those are set then."""
    begun = time.monotonic()
    _store(client, keys[:_CHUNK], _KEPT)
    return (time.monotonic() - begun) * len(keys) / _CHUNK


def _store(client: redis.Redis, keys: Sequence[str], lifetime: float) -> list[str]:
    """Set the keys, many in a round trip, for that many seconds; returns the errors of those that were refused."""
    value, refusals = secrets.token_bytes(_VALUE), list[str]()
    for first in range(0, len(keys), _CHUNK):
        pipeline = client.pipeline(transaction=False)
        for key in keys[first : first + _CHUNK]:
            pipeline.set(key, value, px=round(lifetime * 1000))
        answers = pipeline.execute(raise_on_error=False)
        refusals += [str(answer) for answer in answers if isinstance(answer, redis.RedisError)]
    return refusals


def refusal_of_a_write(client: redis.Redis, prefix: str) -> str:
    """Why a key could not be set, read back and deleted; empty when all of that worked.

    On every primary of a Redis Cluster: each may refuse what it alone would store.
    """
    if not isinstance(client, RedisCluster):
        return _refusal(client, f"{prefix}-written")
    try:
        keys = _key_of_each(client, prefix)
    except ERRORS as error:
        return describe(error)
    refused = [f"the primary at {name}: {why}" for name, key in keys.items() if (why := _refusal(client, key))]
    return "; ".join(refused) if keys else "no node takes writes"


def _key_of_each(client: RedisCluster, prefix: str) -> dict[str, str]:
    """Primary -> the name of a key in one of its slots."""
    keys, primaries = dict[str, str](), {one.name for one in client.get_primaries()}
    for number in range(_NAMES):
        if keys.keys() >= primaries:
            break
        key = f"{prefix}-written-{number}"
        keys.setdefault(client.get_node_from_key(key).name, key)
    return keys


def _refusal(client: redis.Redis, key: str) -> str:
    value = secrets.token_hex(8)
    try:
        client.set(key, value, ex=_TTL)
        found = client.get(key)
        client.delete(key)
        left = client.get(key)
    except ERRORS as error:
        return describe(error)
    if found != value.encode():
        return f"{value} was set, and {found!r} was read back"
    return "" if left is None else "the key still exists after it was deleted"


_GONE, _ENDLESS = -2, -1  # what PTTL answers for a key, and HPTTL for a field, that does not exist, or never expires
_NO_SUCH_COMMAND = "unknown command"


def remaining_lifetimes(client: redis.Redis, prefix: str) -> dict[str, float]:
    """Each key that begins with the prefix -> seconds until it expires; infinity if it never does.

    A hash without an expiry lives as long as its fields, which may have their own. Raises NotAvailable where the user
    may not ask for these.
    """
    lifetimes = dict[str, float]()
    # Each is asked for as soon as it is found: among very many other keys, the search may outlast it.
    for key in client.scan_iter(match=f"{prefix}*", count=1000):
        milliseconds = client.pttl(key)
        if milliseconds == _ENDLESS:
            milliseconds = _longest_of_fields(client, key)
        if milliseconds != _GONE:
            lifetimes[key.decode(errors="replace")] = float("inf") if milliseconds == _ENDLESS else milliseconds / 1000
    return lifetimes


def _longest_of_fields(client: redis.Redis, key: bytes) -> int:
    """Milliseconds until the last field of a hash expires, which ends the hash; _ENDLESS for any other key.

    Source: https://redis.io/docs/latest/commands/hpttl/ (Redis 7.4 and Valkey 9)
    """
    longest, cursor = _GONE, 0
    try:
        if client.type(key) != b"hash":
            return _ENDLESS
        while True:
            cursor, fields = client.hscan(key, cursor, count=1000)
            for milliseconds in client.execute_command("HPTTL", key, "FIELDS", len(fields), *fields) if fields else ():
                if milliseconds == _ENDLESS:
                    return _ENDLESS
                longest = max(longest, milliseconds)
            if not cursor:
                return longest
    except FORBIDDEN as error:
        raise NotAvailable(f"this user may not ask when fields of a hash expire: {describe(error)}") from error
    except redis.ResponseError as error:
        if _NO_SUCH_COMMAND not in str(error):
            raise
        return _ENDLESS  # of a version whose fields cannot expire
