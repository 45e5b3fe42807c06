"""A cache that has lost everything while many clients read from it: they must not take the database down.

The outage that follows keeps itself alive: the database is too slow to fill the cache, as it answers in its place.

Source: https://slack.engineering/slacks-incident-on-2-22-22/
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from time import monotonic

from support.cache.checks import REFILL_READS, hits_again_after
from support.cache.clients import CacheClient, Recorder, ending, together
from support.cache.handover import CacheHandover, ColdStart
from support.engine.history import History
from support.engine.world import World
from support.errors import Inconclusive
from support.example_app.entries import Entry
from support.target.redis import client_of, keys_at, primaries_of, unlink
from support.target.topology import RedisAddress
from support.waiting import pause

VALUE = "value"
_WARM = 0.5  # seconds for which entries are read before the cache is emptied
_READERS_TO_WARM = 8
_SEARCH = 60.0  # seconds; others may have tens of millions of keys in the same Redis
_LOOK = 0.1  # seconds between two looks at whether the cache is filled again


def keys(count: int) -> list[str]:
    return [f"entry-{number}" for number in range(count)]


def store_and_cache(world: World, count: int) -> None:
    """Store this many entries directly in the database, and cache them all by reading them."""
    clients, names = world.handover(CacheHandover).clients, keys(count)
    world.entries.add_many([Entry(world.namespace, name, VALUE) for name in names])
    history = History()
    together(
        [
            partial(_read_each, Recorder(history, number, clients[number % len(clients)], world.namespace), names)
            for number in range(_READERS_TO_WARM)
        ]
    )


def empty_while_read(world: World, readers: int, within: float) -> None:
    """Remove all of the scenario's keys from Redis while readers, spread over the clients, read the entries.

    They stop when reads are hits again, or after `within` seconds.
    """
    handover = world.handover(CacheHandover)
    clients, history, over = handover.clients, History(), threading.Event()
    names = sorted(entry.key for entry in world.entries.all(world.namespace))

    def empty() -> None:
        pause(_WARM)
        primaries = primaries_of(world.cluster.redis_address)
        found = {one: keys_at(one, world.namespace, _SEARCH) for one in primaries}  # first, to remove all at once
        before = _loads_of_each(clients)
        removed = remove(found)
        at = monotonic()
        if removed < len(names) / 2:
            raise Inconclusive(f"only {removed} keys of {len(names)} entries were in Redis, so nothing was emptied")
        while hits_again_after(history, at) is None and monotonic() - at < within:
            pause(_LOOK)
        loads = _loads_of_each(clients)
        loads.subtract(before)
        handover.cold_start = ColdStart(at, removed, +loads)

    def read(number: int) -> None:
        chance = Random(f"{world.run.seed}/{number}")
        recorder = Recorder(history, number, clients[number % len(clients)], world.namespace)
        while not over.is_set():
            recorder.read(names[int(len(names) * chance.random() ** 3)])  # as in use: some entries are read by many

    together([ending(over, empty), *(partial(read, number) for number in range(readers))])
    world.history = history
    if len(history) < REFILL_READS:
        raise Inconclusive(f"the readers read only {len(history)} times")


def remove(keys: Mapping[RedisAddress, Sequence[bytes]]) -> int:
    """Delete the keys of each server; returns how many there were."""
    removed = 0
    for server, own in keys.items():
        with client_of(server) as client:
            removed += unlink(client, own)
    return removed


def _read_each(recorder: Recorder, names: Sequence[str]) -> None:
    for name in names:
        recorder.read(name)


def _loads_of_each(clients: Sequence[CacheClient]) -> Counter[bytes]:
    return sum((client.sessions.loads_of_each() for client in clients), Counter[bytes]())
