"""More keys than Redis has memory for."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from support.cache.clients import CacheClient
from support.errors import Inconclusive
from support.example_app.cache import Source
from support.target.redis import RedisFacts, facts_of
from support.waiting import describe

_VALUE = 64 * 1024  # bytes of one value
_CHUNK = 32  # values in one round trip: 2 MB
_LIVES = 60  # seconds; policies that evict only what expires are to have something to evict
_MOST = 512 * 2**20  # bytes; a limit above this is not filled


@dataclass(frozen=True)
class Pressure:
    """What came of it."""

    before: RedisFacts
    after: RedisFacts
    stored: int
    """How many keys were written."""
    refused: int
    """How many of them were refused."""
    refusal: str
    """What was said to the first that was."""

    @property
    def evicted(self) -> int:
        return self.after.evicted - self.before.evicted


@contextmanager
def full(client: redis.Redis, prefix: str) -> Iterator[Pressure]:
    """Store half as much again as the memory limit allows, and delete it at the end.

    Raises Inconclusive where there is no limit to reach.
    """
    before = facts_of(client)
    if not 0 < before.memory_limit <= _MOST:
        raise Inconclusive(f"the memory limit ({before}) is none that can be reached within {_MOST / 2**20:.0f} MB")
    keys = [f"{prefix}-pressure-{number}" for number in range(before.memory_limit * 3 // 2 // _VALUE)]
    try:
        refusals = _store(client, keys)
        yield Pressure(before, facts_of(client), len(keys), len(refusals), refusals[0] if refusals else "nothing")
    finally:
        client.unlink(*keys)


def _store(client: redis.Redis, keys: Sequence[str]) -> list[str]:
    """Set the keys, many in a round trip; returns what was said to those that were refused."""
    value, refusals = secrets.token_bytes(_VALUE), list[str]()
    for first in range(0, len(keys), _CHUNK):
        pipeline = client.pipeline(transaction=False)
        for key in keys[first : first + _CHUNK]:
            pipeline.set(key, value, ex=_LIVES)
        answers = pipeline.execute(raise_on_error=False)
        refusals += [str(answer) for answer in answers if isinstance(answer, redis.RedisError)]
    return refusals


def hits_of_new_entries(clients: Sequence[CacheClient], namespace: str, count: int) -> int:
    """How many of so many new entries, written by the first client, are hits for the last."""
    values = {f"entry {number}": "value" for number in range(count)}
    clients[0].repository.write_many(namespace, values)
    reads = clients[-1].repository.read_many(namespace, list(values))
    return sum(read.source is Source.CACHE and read.value == "value" for read in reads.values())


def objection_to_a_write(client: redis.Redis, prefix: str) -> str:
    """Why a key that is set cannot be read back, or is not gone when it is deleted; empty when all is well."""
    key, value = f"{prefix}-written", secrets.token_hex(8)
    try:
        client.set(key, value, ex=_LIVES)
        found = client.get(key)
        client.delete(key)
        left = client.get(key)
    except redis.RedisError as error:
        return describe(error)
    if found != value.encode():
        return f"{value} was set and {found!r} read back"
    return "" if left is None else "it is there after it was deleted"


def lives(client: redis.Redis, prefix: str) -> dict[str, float]:
    """For how many seconds each key that begins with the prefix lives on; infinity for one that has no end."""
    found = list(client.scan_iter(match=f"{prefix}*", count=1000))
    pipeline = client.pipeline(transaction=False)
    for key in found:
        pipeline.pttl(key)
    left = dict(zip(found, pipeline.execute(), strict=True))
    gone, endless = -2, -1  # PTTL's words
    return {
        key.decode(errors="replace"): float("inf") if milliseconds == endless else milliseconds / 1000
        for key, milliseconds in left.items()
        if milliseconds != gone
    }
