"""Clients that use the cache one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from support.application.cache import Question, Read, Source
from support.errors import Inconclusive
from support.history import History
from support.workloads.cache_clients import CacheClient
from support.workloads.cache_operations import Recorder
from support.workloads.cache_races import KEY
from support.workloads.round_trips import RoundTrips


def reads_in_turn(clients: Sequence[CacheClient], namespace: str) -> History:
    """Each client reads the entry once."""
    history = History()
    for number, client in enumerate(clients):
        Recorder(history, number, client, namespace).read(KEY)
    return history


def writes_and_reads(clients: Sequence[CacheClient], namespace: str, times: int) -> History:
    """The first client writes the entry, so many times, and after each write every client reads it."""
    history = History()
    recorders = [Recorder(history, number, client, namespace) for number, client in enumerate(clients)]
    for number in range(times):
        recorders[0].write(KEY, str(number))
        for recorder in recorders:
            recorder.read(KEY)
    return history


def loads(clients: Sequence[CacheClient]) -> int:
    """How often the database was asked for an entry. Raises Inconclusive when that cannot be seen."""
    seen = sum(client.sessions.loads for client in clients)
    if seen == 0:
        raise Inconclusive("the cache repository loaded nothing through the sessions that it was given")
    return seen


def cache_in_every_way(client: CacheClient, namespace: str) -> None:
    """Entries and answers get into the cache by each operation that puts something there."""
    repository = client.repository
    repository.write(namespace, "written", "value")
    repository.write_many(namespace, {"written with others": "value", "and another": "value"})
    repository.update(namespace, "and another", "other value")
    repository.read(namespace, "and another")
    repository.read(namespace, "not there")
    repository.read_many(namespace, ["written", "not there either"])
    repository.fetch(Question(namespace, "answers", (1,)), lambda: "answer")


@dataclass(frozen=True)
class Visit:
    """What was stored, what was read back, and what it cost."""

    stored: dict[str, str]
    reads: dict[str, Read]
    round_trips: int


def read_at_once(client: CacheClient, trips: RoundTrips, namespace: str, count: int) -> Visit:
    """So many cached entries are read in one call."""
    values = {f"entry {number}": f"value {number}" for number in range(count)}
    client.repository.write_many(namespace, values)
    client.repository.read_many(namespace, list(values))
    reads: dict[str, Read] = {}
    cost = _cost(trips, lambda: reads.update(client.repository.read_many(namespace, list(values))))
    return Visit(values, reads, cost)


def store_at_once(client: CacheClient, trips: RoundTrips, namespace: str, count: int) -> Visit:
    """So many entries are stored in one call, and read back after it."""
    values = {f"{count} at once, {number}": f"value {number}" for number in range(count)}
    client.repository.read(namespace, "any")  # connects
    cost = _cost(trips, lambda: client.repository.write_many(namespace, values))
    return Visit(values, dict(client.repository.read_many(namespace, list(values))), cost)


def stored_one_and_many(client: CacheClient, trips: RoundTrips, namespace: str, count: int) -> tuple[Visit, Visit]:
    """One entry is stored in one call, and then so many in one."""
    return store_at_once(client, trips, namespace, 1), store_at_once(client, trips, namespace, count)


def values(reads: dict[str, Read]) -> dict[str, object]:
    """The values, wherever they came from."""
    return {key: read.value for key, read in reads.items()}


def out_of_the_cache(reads: dict[str, Read]) -> dict[str, object]:
    """The values of those that the cache answered."""
    return {key: read.value for key, read in reads.items() if read.source is Source.CACHE}


def _cost(trips: RoundTrips, work: Callable[[], object]) -> int:
    before = trips.count
    work()
    return trips.count - before
