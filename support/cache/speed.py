"""How fast the cache is for one client: after a warm-up, over many operations, none left out."""

import time
from collections.abc import Callable
from functools import partial
from itertools import count

from support import sql
from support.cache.clients import CacheClient
from support.engine.history import History, Operation, Outcome, durations
from support.errors import Inconclusive
from support.example_app.cache import Question, Read, Source
from support.example_app.entries import READ_VALUE
from support.example_app.profile import Profile

CACHED, DIRECT = "cached read", "database read"
_KEY = "entry"
_WARM_UP = 50  # operations that are not counted
_CHECKED = 100  # one of so many stores is checked
_FILLED = 100  # the entry is rewritten after so many reads: it would expire meanwhile if the cache were slow

Operations = Callable[[int], object]
"""Performs the operation of that number."""


def interleaved_reads(
    client: CacheClient, where: sql.Endpoint, profile: Profile, namespace: str, times: int
) -> History:
    """Read an entry alternately from the cache and from the database, `times` times each.

    The one goes through the cache repository, the other is the query that the repository loads a missing value with, in
    an open session: each costs one round trip to its server, so that a sign of life or a login decides nothing. Raises
    Inconclusive when a read that should be cached is a miss.
    """

    def fill() -> None:
        client.repository.write(namespace, _KEY, "value")
        client.repository.read(namespace, _KEY)

    with sql.session(where) as session:
        cached = partial(client.repository.read, namespace, _KEY)
        direct = partial(sql.rows, session, profile.sql(READ_VALUE), [namespace, _KEY])
        _read_in_turn(fill, cached, direct, _WARM_UP)
        return _read_in_turn(fill, cached, direct, times)


def medians(history: History) -> tuple[float, float]:
    """The median of the cached reads and of the database reads, in ms."""
    return durations(history, CACHED).percentile(50), durations(history, DIRECT).percentile(50)


def reads(client: CacheClient, namespace: str) -> Operations:
    """Operations that read a cached entry."""
    client.repository.write(namespace, _KEY, "value")
    client.repository.read(namespace, _KEY)
    return lambda _: _require_hit(client.repository.read(namespace, _KEY))


def writes(client: CacheClient, namespace: str) -> Operations:
    """Operations that store a new query result in the cache; the database is not involved."""

    def store(number: int) -> None:
        answer = partial(client.repository.fetch, Question(namespace, "throughput", (number,)))
        answer(lambda: f"answer {number}")
        if number % _CHECKED == 0:
            _require_hit(answer(lambda: "it was not stored"))

    return store


def throughput(operations: Operations, seconds: float) -> float:
    """Operations per second, done one after the other for `seconds`: the mean over the whole time."""
    numbers = count()
    for _ in range(_WARM_UP):
        operations(next(numbers))
    done, begun = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begun) < seconds:
        operations(next(numbers))
        done += 1
    return done / elapsed


def _read_in_turn(
    fill: Callable[[], None], cached: Callable[[], Read], direct: Callable[[], object], times: int
) -> History:
    history = History()
    for number in range(times):
        if number % _FILLED == 0:
            fill()
        begun = time.monotonic()
        read = cached()
        between = time.monotonic()
        direct()
        ended = time.monotonic()
        _require_hit(read)
        history.append(Operation(0, CACHED, _KEY, None, Outcome.OK, begun, between))
        history.append(Operation(0, DIRECT, _KEY, None, Outcome.OK, between, ended))
    return history


def _require_hit(read: Read) -> None:
    if read.source is not Source.CACHE:
        raise Inconclusive("a cached read was to be measured, but the database answered it")
