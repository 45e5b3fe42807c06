"""How fast the cache is to one client, each operation measured by itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from support import sql
from support.application.cache import Question, Read, Source
from support.application.entries import EntryStore
from support.errors import NothingProved
from support.history import History, Operation, Outcome
from support.workloads.cache_clients import CacheClient

CACHED, DIRECT = "cached read", "database read"
_WARM_UP = 50  # operations that are not counted


def interleaved_reads(client: CacheClient, where: sql.Endpoint, namespace: str, key: str, times: int) -> History:
    """The same entry is read from the cache and from the database in turn, so many times each, on open sessions.

    Raises NothingProved when what is to be a cached read is none.
    """
    history = History()
    with sql.session(where) as session:
        store = EntryStore(session)
        for number in range(-_WARM_UP, times):
            into = history if number >= 0 else History()
            read = _timed(into, CACHED, key, partial(client.repository.read, namespace, key))
            _timed(into, DIRECT, key, partial(store.find, namespace, key))
            if number >= 0:
                _require_hit(read)
    return history


@dataclass(frozen=True)
class Throughput:
    """How many operations were done one after the other in how many seconds."""

    operations: int
    seconds: float

    @property
    def a_second(self) -> float:
        return self.operations / self.seconds


def reads(client: CacheClient, namespace: str, key: str, seconds: float) -> Throughput:
    """Reads of a cached entry, one after the other."""
    return _throughput(lambda _: _require_hit(client.repository.read(namespace, key)), seconds)


def writes(client: CacheClient, namespace: str, seconds: float) -> Throughput:
    """New answers are stored in the cache, one after the other; the database has no part in it."""

    def store(number: int) -> None:
        client.repository.fetch(Question(namespace, "throughput", (number,)), lambda: f"answer {number}")

    done = _throughput(store, seconds)
    last = client.repository.fetch(Question(namespace, "throughput", (done.operations - 1,)), lambda: "lost")
    _require_hit(last)
    return done


def _throughput(operation: Callable[[int], object], seconds: float) -> Throughput:
    for number in range(-_WARM_UP, 0):
        operation(number)
    begun, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - begun) < seconds:
        operation(count)
        count += 1
    return Throughput(count, elapsed)


def _timed(history: History, action: str, key: str, work: Callable[[], object]) -> Read | None:
    begun = time.monotonic()
    found = work()
    history.append(Operation(0, action, key, None, Outcome.OK, begun, time.monotonic()))
    return found if isinstance(found, Read) else None


def _require_hit(read: Read | None) -> None:
    if read is None or read.source is not Source.CACHE:
        raise NothingProved("what was to be measured is a cached read, and the database answered")
