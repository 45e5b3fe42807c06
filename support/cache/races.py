"""Reads that race with changes of what they read, each arranged so that it happens and is not left to chance."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from support import sql
from support.cache.clients import CacheClient, Recorder, TakenBack, together
from support.engine.history import History, Operation
from support.example_app.entries import Entry, EntryStore
from support.example_app.profile import Profile
from support.timeouts import VISIBLE
from support.waiting import pause

OPEN = 0.1
"""Seconds for which a transaction stays open before it is taken back."""
KEY = "entry"
"""The one entry of these workloads."""
ENTRIES = ("written", "updated", "deleted")
"""The entries that transactions change, each in one way."""


def late_fill(clients: Sequence[CacheClient], namespace: str, change: Callable[[Recorder], object]) -> History:
    """One client misses, and the database answers with the old value; before that arrives, another changes the entry.

    Then everyone reads it again. Raises Inconclusive when the first client never asked the database.
    """
    history = History()
    recorders = [Recorder(history, number, client, namespace) for number, client in enumerate(clients)]
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


def crowd(clients: Sequence[CacheClient], namespace: str, *, readers: int, delay: float) -> History:
    """So many readers, spread over the clients, ask for the entry at once; the database is `delay` seconds late."""
    history = History()
    for client in clients:
        client.sessions.delay = delay
    recorders = [Recorder(history, number, clients[number % len(clients)], namespace) for number in range(readers)]
    together([partial(one.read, KEY) for one in recorders])
    return history


def replaced_while_read(
    clients: Sequence[CacheClient],
    where: sql.Endpoint,
    profile: Profile,
    namespace: str,
    *,
    changes: int,
    pace: float,
    afterwards: float,
) -> History:
    """Every client reads the entry all the time, while it is changed through the cache and past it, in turn.

    `pace` is the pause between two changes; reads go on for `afterwards` after the last, which is past the cache
    (seconds).
    """
    history, over = History(), threading.Event()
    writer = Recorder(history, len(clients), clients[0], namespace)
    writer.write(KEY, "0")

    def change() -> None:
        with sql.session(where) as session:
            past = partial(_past_the_cache, writer, EntryStore(session, profile), namespace)
            for number in range(1, changes + 1):
                (writer.update if (changes - number) % 2 else past)(KEY, str(number))
                pause(pace)
        pause(afterwards)
        over.set()

    readers = [Recorder(history, number, client, namespace) for number, client in enumerate(clients)]
    together([change, *(partial(_read_until, over, one) for one in readers)])
    return history


def _past_the_cache(recorder: Recorder, store: EntryStore, namespace: str, key: str, value: str) -> Operation:
    """Another application, which knows nothing of the cache, changes the entry."""
    return recorder.perform("write", key, value, partial(store.update, namespace, key, value))


def rolled_back_while_read(clients: Sequence[CacheClient], namespace: str, rounds: int) -> History:
    """Every client reads the entries all the time, while one changes them in transactions and takes each back."""
    history, done = History(), threading.Event()
    for key in ENTRIES:
        clients[0].repository.write(namespace, key, "kept")

    def undo() -> None:
        for number in range(rounds):
            _roll_back(history, clients[0], namespace, f"draft {number}")
            pause(0.05)
        done.set()

    readers = [Recorder(history, number, client, namespace) for number, client in enumerate(clients)]
    together([undo, *(partial(_read_until, done, one, ENTRIES) for one in readers)])
    return history


def _roll_back(history: History, client: CacheClient, namespace: str, draft: str) -> None:
    recorder = Recorder(history, -1, client, namespace)
    begun = time.monotonic()
    with suppress(TakenBack), client.repository.transaction() as transaction:
        transaction.write(namespace, "written", draft)
        transaction.update(namespace, "updated", draft)
        transaction.delete(namespace, "deleted")
        pause(OPEN)
        raise TakenBack
    for key, value in zip(ENTRIES, (draft, draft, None), strict=True):
        recorder.note("rollback", key, value, begun)


def expiry(client: CacheClient, where: sql.Endpoint, profile: Profile, namespace: str, seconds: float) -> History:
    """An entry is filled in, changed behind the cache's back, and read for so long."""
    history = History()
    recorder = Recorder(history, 0, client, namespace)
    store = EntryStore(where, profile)
    store.add(Entry(namespace, KEY, "old"))
    recorder.read(KEY)
    recorder.perform("change", KEY, "new", partial(store.update, namespace, KEY, "new"))
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        recorder.read(KEY)
        pause(0.005)
    return history


def _read_until(over: threading.Event, recorder: Recorder, keys: Sequence[str] = (KEY,)) -> None:
    last = False
    while not last:
        last = over.is_set()  # so that each entry is read once more after the end
        for key in keys:
            recorder.read(key)
        pause(0.001)
