"""Clients that use the cache all the time while something else happens, each as one process of the application."""

import itertools
import threading
from collections.abc import Callable, Sequence
from functools import partial

from support.history import History, Outcome
from support.waiting import NotYet, eventually, pause
from support.workloads.cache_clients import CacheClient
from support.workloads.cache_operations import Recorder, together

_PACE = 0.02  # seconds between two operations of a thread


_OWN = 5


def own_keys(client: int) -> list[str]:
    """The keys of the entries that only this client changes: some, so that each is left alone for a moment."""
    return [f"entry {number} of client {client}" for number in range(_OWN)]


def worked_through(clients: Sequence[CacheClient], namespace: str, disturbance: Callable[[History], object]) -> History:
    """Each client changes its own entries, and reads those of all, before `disturbance`, during it and to its end."""
    history, over = History(), threading.Event()
    recorders = [Recorder(history, number, client, namespace) for number, client in enumerate(clients)]
    for number, recorder in enumerate(recorders):
        for key in own_keys(number):
            recorder.write(key, "first")

    keys = [key for number in range(len(clients)) for key in own_keys(number)]
    writing = [partial(_write, over, recorder, own_keys(number)) for number, recorder in enumerate(recorders)]
    reading = [partial(_read, over, recorder, keys) for recorder in recorders]
    together([partial(_disturb, over, disturbance, history), *writing, *reading])
    return history


def read_through(
    clients: Sequence[CacheClient], namespace: str, key: str, disturbance: Callable[[History], object]
) -> History:
    """Each client reads one entry, before `disturbance`, during it and to its end."""
    history, over = History(), threading.Event()
    recorders = [Recorder(history, number, client, namespace) for number, client in enumerate(clients)]
    reading = [partial(_read, over, recorder, [key]) for recorder in recorders]
    together([partial(_disturb, over, disturbance, history), *reading])
    return history


def _disturb(over: threading.Event, disturbance: Callable[[History], object], history: History) -> None:
    """Say that it is over when it is, however it ended."""
    try:
        disturbance(history)
    finally:
        over.set()


def await_hits(history: History, clients: int, since: float, within: float) -> None:
    """Wait until every client has been served out of the cache by a read that began after `since`."""

    def all_hit() -> None:
        hits = {one.client for one in history.of(action="hit", outcome=Outcome.OK) if one.begun > since}
        if len(hits) < clients:
            raise NotYet(f"{len(hits)} of {clients} were")

    eventually(all_hit, within=within, subject="every client is served out of the cache", pause=_PACE)


def _read(over: threading.Event, recorder: Recorder, keys: Sequence[str]) -> None:
    """Read these entries in turn, again and again."""
    while not over.is_set():
        for key in keys:
            recorder.read(key)
            pause(_PACE)


def _write(over: threading.Event, recorder: Recorder, keys: Sequence[str]) -> None:
    """Change these entries in turn, again and again, written anew and updated by turns."""
    for number in itertools.count():
        for key in keys:
            if over.is_set():
                return
            change = recorder.update if number % 2 else recorder.write
            change(key, str(number))
            pause(_PACE)
