"""Workloads on the cache: clients in turn, many at once, and races that are arranged rather than left to chance.

Each returns the history of its operations; support/cache/checks.py says what its actions mean.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import pairwise
from operator import itemgetter
from random import Random

from support import sql
from support.cache.clients import CacheClient, Recorder, RolledBack, ending, recorders_of, together
from support.engine.history import History
from support.errors import Inconclusive
from support.example_app.cache import Source
from support.example_app.entries import Entry, EntryStore
from support.example_app.profile import Profile
from support.timeouts import VISIBLE
from support.waiting import pause

KEY = "entry"
"""The only entry of most workloads."""


# One client after another


def reads_in_turn(clients: Sequence[CacheClient], namespace: str) -> History:
    """Each client reads the entry once."""
    history = History()
    for recorder in recorders_of(clients, history, namespace):
        recorder.read(KEY)
    return history


def writes_and_reads(clients: Sequence[CacheClient], namespace: str, times: int) -> History:
    """The first client writes the entry `times` times; after each write every client reads it."""
    history = History()
    recorders = recorders_of(clients, history, namespace)
    for number in range(times):
        recorders[0].write(KEY, str(number))
        for recorder in recorders:
            recorder.read(KEY)
    return history


def loads(clients: Sequence[CacheClient]) -> int:
    """How often the clients loaded an entry from the database. Raises Inconclusive when their loads are not visible."""
    seen = sum(client.sessions.loads for client in clients)
    if seen == 0:
        raise Inconclusive("the cache repository loaded nothing through the sessions that it was given")
    return seen


def expiry(client: CacheClient, store: EntryStore, namespace: str, seconds: float) -> History:
    """An entry is cached by a miss, changed directly in the database, and then read for `seconds`.

    Done again with another entry if the miss or a pause between two reads took so long that it may hide when the entry
    expired. Returns the history with the shortest such time.
    """
    found: list[tuple[float, History]] = []
    while len(found) < _EXPIRIES and not (found and min(found, key=itemgetter(0))[0] < seconds * _UNSEEN):
        history = _expiry(client, store, namespace, f"{KEY}-{len(found)}", seconds)
        looks = [next(iter(history)).begun, *(one.ended for one in history)]
        found.append((max(after - before for before, after in pairwise(looks)), history))
    return min(found, key=itemgetter(0))[1]


_EXPIRIES = 5
_UNSEEN = 0.05  # of the time for which an entry is read


def _expiry(client: CacheClient, store: EntryStore, namespace: str, key: str, seconds: float) -> History:
    history = History()
    recorder = Recorder(history, 0, client, namespace)
    store.add(Entry(namespace, key, "old"))
    recorder.read(key)
    recorder.perform("change", key, "new", partial(store.update, namespace, key, "new"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        recorder.read(key)
        pause(0.005)
    return history


# Reads that race with changes


def change_during_load(clients: Sequence[CacheClient], namespace: str, change: Callable[[Recorder], object]) -> History:
    """The first client misses; the database has answered with the old value when another client changes the entry.

    The answer reaches the first client only after the change. Then every client reads the entry again. Raises
    Inconclusive when the first client never asked the database.
    """
    history = History()
    recorders = recorders_of(clients, history, namespace)
    late, other = recorders[0], recorders[1]
    late.write(KEY, "old")
    clients[0].repository.invalidate(namespace, KEY)
    with ThreadPoolExecutor(1) as aside:
        with clients[0].sessions.holding_answers():
            reading = aside.submit(late.read, KEY)
            clients[0].sessions.await_held_answer(VISIBLE)
            change(other)
        reading.result()
    for recorder in recorders:
        recorder.read(KEY)
    return history


def stampede(clients: Sequence[CacheClient], namespace: str, *, readers: int, delay: float) -> History:
    """`readers` threads, spread over the clients, read the entry at once; the database answers `delay` seconds late."""
    history = History()
    for client in clients:
        client.sessions.delay = delay
    recorders = [Recorder(history, number, clients[number % len(clients)], namespace) for number in range(readers)]
    together([partial(one.read, KEY) for one in recorders])
    return history


def replaced_while_read(
    clients: Sequence[CacheClient],
    database: sql.Endpoint,
    profile: Profile,
    namespace: str,
    *,
    changes: int,
    pace: float,
    afterwards: float,
) -> History:
    """Every client keeps reading the entry, while it is updated through the cache and directly in the database in turn.

    `pace` is the pause between two updates. The last update bypasses the cache; reads go on for `afterwards` after it
    (seconds).
    """
    history, over = History(), threading.Event()
    writer = Recorder(history, len(clients), clients[0], namespace)
    writer.write(KEY, "0")

    def change() -> None:
        with sql.session(database) as session:
            store = EntryStore(session, profile)
            for number in range(1, changes + 1):
                value = str(number)
                if (changes - number) % 2:
                    writer.update(KEY, value)
                else:  # as another application would, which knows nothing of the cache
                    writer.perform("write", KEY, value, partial(store.update, namespace, KEY, value))
                pause(pace)
        pause(afterwards)

    readers = [partial(_read_until, over, one, [KEY]) for one in recorders_of(clients, history, namespace)]
    together([ending(over, change), *readers])
    return history


WRITTEN, UPDATED, DELETED = ROLLED_BACK = ("written", "updated", "deleted")
"""The entries that `rolled_back_while_read` changes, each in one way."""
_OPEN = 0.1  # seconds for which a transaction stays open before it is rolled back


def rolled_back_while_read(clients: Sequence[CacheClient], namespace: str, rounds: int) -> History:
    """Every client keeps reading the entries, while one changes them in transactions and rolls each back."""
    history, over = History(), threading.Event()
    writer = Recorder(history, -1, clients[0], namespace)
    for key in ROLLED_BACK:
        clients[0].repository.write(namespace, key, "kept")

    def roll_back(draft: str) -> None:
        begun = time.monotonic()
        with suppress(RolledBack), clients[0].repository.transaction() as transaction:
            transaction.write(namespace, WRITTEN, draft)
            transaction.update(namespace, UPDATED, draft)
            transaction.delete(namespace, DELETED)
            pause(_OPEN)
            raise RolledBack
        for key, value in ((WRITTEN, draft), (UPDATED, draft), (DELETED, None)):
            writer.note("rollback", key, value, begun)

    def write() -> None:
        for number in range(rounds):
            roll_back(f"draft {number}")
            pause(0.05)

    readers = [partial(_read_until, over, one, ROLLED_BACK) for one in recorders_of(clients, history, namespace)]
    together([ending(over, write), *readers])
    return history


def _read_until(over: threading.Event, recorder: Recorder, keys: Sequence[str]) -> None:
    last = False
    while not last:
        last = over.is_set()  # so that each entry is read once more after the end
        for key in keys:
            recorder.read(key)
        pause(0.001)


# A storm: many threads, few entries, every kind of operation

WAYS = {"read": 60, "write": 15, "update": 15, "delete": 5, "rollback": 5}
"""What a thread of a storm may do next -> its weight."""


def storm(
    clients: Sequence[CacheClient], namespace: str, *, threads: int, keys: Sequence[str], times: int, seed: float
) -> History:
    """`threads` threads, spread over the clients, do `times` operations each on the same few entries, at random."""
    history = History()

    def work(number: int) -> None:
        client, random = clients[number % len(clients)], Random(f"{seed}/{number}")
        recorder = Recorder(history, number, client, namespace)
        for count in range(times):
            key, value = random.choice(keys), f"{number}/{count}"
            match random.choices(list(WAYS), list(WAYS.values()))[0]:
                case "read":
                    recorder.read(key)
                case "write":
                    recorder.write(key, value)
                case "update":
                    recorder.update(key, value)
                case "delete":
                    recorder.delete(key)
                case _:
                    recorder.perform(
                        "rollback", key, value, partial(_write_and_roll_back, client, namespace, key, value)
                    )

    together([partial(work, number) for number in range(threads)])
    return history


def _write_and_roll_back(client: CacheClient, namespace: str, key: str, value: str) -> None:
    with suppress(RolledBack), client.repository.transaction() as transaction:
        transaction.write(namespace, key, value)
        raise RolledBack


def served_by_cache(clients: Sequence[CacheClient], namespace: str, keys: Sequence[str]) -> dict[str, str | None]:
    """What the cache serves each client for each entry now: "client 1, entry" -> value.

    Each entry is read twice, so that the second read finds it cached. An entry that is not a hit even then is left out.
    """
    found = {}
    for number, client in enumerate(clients, 1):
        for key in keys:
            client.repository.read(namespace, key)
            read = client.repository.read(namespace, key)
            if read.source is Source.CACHE:
                found[f"client {number}, {key}"] = read.value
    return found


def held_by_database(
    store: EntryStore, clients: Sequence[CacheClient], namespace: str, keys: Sequence[str]
) -> dict[str, str | None]:
    """What the database holds, under the names that `served_by_cache` uses."""
    values = {entry.key: entry.value for entry in store.all(namespace)}
    return {f"client {number}, {key}": values.get(key) for number in range(1, len(clients) + 1) for key in keys}
