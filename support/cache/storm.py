"""Many clients that read and change few entries through the cache at the same time, in every way that there is."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from random import Random

from support import sql
from support.cache.clients import CacheClient, Recorder, TakenBack, together
from support.engine.history import History
from support.example_app.cache import Source
from support.example_app.entries import EntryStore
from support.example_app.profile import Profile

WAYS = {"read": 60, "write": 15, "update": 15, "delete": 5, "rollback": 5}
"""What a thread does next, and how often among the others."""


def names(count: int) -> list[str]:
    """Keys for so many entries."""
    return [f"entry {number}" for number in range(count)]


def storm(
    clients: Sequence[CacheClient], namespace: str, *, threads: int, keys: Sequence[str], times: int, seed: float
) -> History:
    """So many threads, spread over the clients, work on the same entries; each does something so many times."""
    history = History()

    def rage(number: int) -> None:
        client, chance = clients[number % len(clients)], Random(f"{seed}/{number}")
        recorder = Recorder(history, number, client, namespace)
        for count in range(times):
            _act(recorder, client, namespace, chance, chance.choice(keys), f"{number}/{count}")

    together([partial(rage, number) for number in range(threads)])
    return history


def _act(recorder: Recorder, client: CacheClient, namespace: str, chance: Random, key: str, value: str) -> None:
    way = chance.choices(list(WAYS), list(WAYS.values()))[0]
    if way == "read":
        recorder.read(key)
    elif way == "delete":
        recorder.delete(key)
    elif way == "rollback":
        recorder.perform("rollback", key, value, partial(_take_back, client, namespace, key, value))
    else:
        {"write": recorder.write, "update": recorder.update}[way](key, value)


def _take_back(client: CacheClient, namespace: str, key: str, value: str) -> None:
    with suppress(TakenBack), client.repository.transaction() as transaction:
        transaction.write(namespace, key, value)
        raise TakenBack


def served(clients: Sequence[CacheClient], namespace: str, keys: Sequence[str]) -> dict[str, str | None]:
    """What each client is served out of the cache for each entry now: "client 1, entry" -> value.

    What was not cached is read twice, so that the second time it is. What is not served out of the cache even then
    is left out.
    """
    found = {}
    for number, client in enumerate(clients, 1):
        for key in keys:
            client.repository.read(namespace, key)
            read = client.repository.read(namespace, key)
            if read.source is Source.CACHE:
                found[f"client {number}, {key}"] = read.value
    return found


def held(
    where: sql.Endpoint, profile: Profile, clients: Sequence[CacheClient], namespace: str, keys: Sequence[str]
) -> dict[str, str | None]:
    """What the database holds, under the names that `served` gives."""
    values = {entry.key: entry.value for entry in EntryStore(where, profile).all(namespace)}
    return {f"client {number}, {key}": values.get(key) for number in range(1, len(clients) + 1) for key in keys}
