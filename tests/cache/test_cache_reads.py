"""Reads through the cache, against a real Redis: hits, expiry, single loads, late fills, writers."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import redis
from bounds import takes_less_than
from caching import LEASE, TTL, Database, leases_on, value_of
from conftest import free_port
from redis_servers import RedisServer, running

from support.example_app.cache import Source
from support.example_app.cache.codec import encode
from support.example_app.cache.leases import Leases, Looked
from support.example_app.cache.repository import CacheAside
from support.waiting import eventually, pause

WAITS = 8.0
"""Seconds that a load waits for the other readers; a `Database` waits for a little longer."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis"), free_port()) as started:
        yield started


@pytest.fixture
def leases(server: RedisServer) -> Iterator[Leases]:
    with server.client() as client:
        client.flushall()
    yield leases_on(server.port)
    with suppress(redis.ConnectionError):
        server.thaw()


@pytest.fixture
def cache(leases: Leases) -> CacheAside:
    return CacheAside(leases, LEASE)


@pytest.fixture
def database() -> Database:
    return Database()


class InBackground:
    """Something done in a thread; `result` waits for it and raises what it raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(work)

    def result(self) -> Any:
        try:
            return self._future.result(15)
        finally:
            self._pool.shutdown()


# Hits and misses


@pytest.mark.parametrize("value", ["text", None, 0, False, [], b"", [0.5] * 384])
def test_the_second_read_is_a_hit_whatever_the_value(cache, value):
    database = Database(value)
    assert value_of(cache, database) == (value, Source.DATABASE)
    assert value_of(cache, database) == (value, Source.CACHE)
    assert database.loads == 1


def test_many_keys_are_loaded_together_and_only_those_that_are_missing(cache, database):
    cache.read(["a", "b"], database.load)
    asked: list[list[str]] = []
    reads = cache.read(["a", "b", "c", "d", "c"], lambda keys: asked.append(keys) or dict.fromkeys(keys, "new"))
    assert asked == [["c", "d"]]
    assert {key: read.source for key, read in reads.items()} == {
        "a": Source.CACHE,
        "b": Source.CACHE,
        "c": Source.DATABASE,
        "d": Source.DATABASE,
    }
    assert cache.read([], database.load) == {}


def test_no_read_leaves_a_lease_or_an_entry_without_expiry(server, cache, database):
    cache.read(["a", "b"], database.load)
    with server.client() as client:
        kept = client.keys()
        assert sorted(kept) == [b"a", b"b"]
        assert all(0 < client.pttl(key) <= TTL * 1000 for key in kept)


def test_bytes_that_nobody_encoded_are_a_miss(server, cache, database):
    with server.client() as client:
        client.set("k", b"\x80garbage")
    assert value_of(cache, database) == ("value", Source.DATABASE)
    assert value_of(cache, database) == ("value", Source.CACHE)


def test_an_error_of_the_load_reaches_the_caller_and_the_next_reader_loads_at_once(cache, database):
    def fail(_: list[str]) -> Mapping[str, Any]:
        raise LookupError("the database is gone")

    with pytest.raises(LookupError, match="the database is gone"):
        cache.read(["k"], fail)
    with takes_less_than(LEASE / 2):
        assert value_of(cache, database) == ("value", Source.DATABASE)


# Expiry


def test_an_entry_ends_with_its_time_to_live_and_not_before(server, cache, database):
    short = CacheAside(leases_on(server.port, time_to_live=0.6), LEASE)
    begun, hits = time.monotonic(), 0
    value_of(short, database)
    with takes_less_than(5):
        while value_of(short, database)[1] is Source.CACHE:
            hits += 1
    assert hits
    assert time.monotonic() - begun > 0.59


def test_the_time_to_live_counts_from_before_the_load(server, cache, database):
    short = CacheAside(leases_on(server.port, time_to_live=0.8), LEASE)

    def slow(keys: list[str]) -> Mapping[str, Any]:
        pause(0.5)
        return database.load(keys)

    short.read(["k"], slow)
    with server.client() as client:
        assert 0 < client.pttl("k") <= 300


def test_a_load_that_outlasts_the_time_to_live_is_not_cached(server, cache, database):
    short = CacheAside(leases_on(server.port, time_to_live=0.1), LEASE)

    def slow(keys: list[str]) -> Mapping[str, Any]:
        pause(0.2)
        return database.load(keys)

    assert short.read(["k"], slow)["k"].value == "value"
    with server.client() as client:
        assert client.keys() == []


# One load for all


class CountedLeases(Leases):
    """Leases that tell who has looked; a reader looks with a token of its own, as often as it waits."""

    def __init__(self, *given: Any, looked: Callable[[str], object], **more: Any) -> None:
        super().__init__(*given, **more)
        self._tell = looked

    def look(self, keys: Sequence[str], token: str) -> Looked:
        found = super().look(keys, token)
        self._tell(token)
        return found


def counted_cache(port: int, looked: Callable[[str], object]) -> CacheAside:
    """Its leases last until everybody has looked, however slow the machine is."""
    leases = leases_on(port, lease=4 * WAITS, kind=partial(CountedLeases, looked=looked))
    return CacheAside(leases, 4 * WAITS)


def test_threads_that_miss_at_once_share_one_load(server, leases, database):
    readers: set[str] = set()
    caches = [counted_cache(server.port, readers.add) for _ in range(2)]
    database.answering.clear()
    with ThreadPoolExecutor(20) as pool:
        reads = [pool.submit(value_of, caches[number % 2], database, "shared") for number in range(20)]
        try:
            await_number(lambda: len(readers), 20)  # each has missed, before anything is loaded
        finally:
            database.answering.set()
        found = [read.result() for read in reads]
    assert database.loads == 1
    assert {value for value, _ in found} == {"value"}
    assert sorted(source for _, source in found) == [Source.CACHE] * 19 + [Source.DATABASE]


def await_number(counted: Callable[[], int], wanted: int) -> None:
    def there() -> None:
        assert counted() == wanted

    eventually(there, within=WAITS, subject="everybody has looked", pause=0.01)


def read_in_a_process(port: int, loads: Any, readers: Any, gate: Any) -> None:
    tokens: set[str] = set()

    def looked(token: str) -> None:
        with readers.get_lock():
            readers.value += token not in tokens
            tokens.add(token)

    def load(keys: list[str]) -> Mapping[str, Any]:
        with loads.get_lock():
            loads.value += 1
        await_number(lambda: readers.value, 3)
        return dict.fromkeys(keys, "value")

    gate.wait(90)  # each imports the suite first
    assert counted_cache(port, looked).read(["k"], load)["k"].value == "value"


def test_processes_that_miss_at_once_share_one_load(server, leases):
    spawn = multiprocessing.get_context("spawn")
    loads, looked, gate = spawn.Value("i", 0), spawn.Value("i", 0), spawn.Barrier(3)
    readers = [spawn.Process(target=read_in_a_process, args=(server.port, loads, looked, gate)) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(90)
    assert [reader.exitcode for reader in readers] == [0, 0, 0]
    assert loads.value == 1


def test_a_reader_does_not_wait_for_ever_for_one_who_died(leases, database):
    leases.look(["k"], "of a process that was killed")
    with takes_less_than(LEASE + 0.5):
        assert value_of(CacheAside(leases, 3 * LEASE), database)[0] == "value"
    assert database.loads == 1


def test_patience_bounds_the_wait_for_a_load_that_hangs(server, leases, database):
    long_lease = leases_on(server.port, lease=20)
    long_lease.look(["k"], "of a load that hangs")
    with takes_less_than(1):
        assert value_of(CacheAside(long_lease, 0.3), database) == ("value", Source.DATABASE)


# Late fills


def await_lease_end(leases: Leases) -> None:
    def ended() -> None:
        assert not leases._client.exists("k?lease")

    eventually(ended, within=LEASE + 5, subject="the lease has expired", pause=0.02)


OVERTAKE: dict[str, Callable[[Leases], None]] = {
    "an invalidation": lambda leases: leases.drop(["k"]),
    "a write-through": lambda leases: (leases.reserve(["k"], "w"), leases.settle({"k": encode("new")}, "w"))[-1],
    "an update": lambda leases: (leases.reserve(["k"], "w"), leases.settle({"k": None}, "w"))[-1],
    "a write that is about to commit": lambda leases: leases.reserve(["k"], "w"),
    "the end of the lease": lambda leases: await_lease_end(leases),
}


@pytest.mark.parametrize("overtake", OVERTAKE)
def test_what_was_loaded_before_is_not_filled_in_after(server, cache, database, overtake):
    database.value = "old"
    database.answering.clear()
    reader = InBackground(lambda: value_of(cache, database))
    assert database.asked.wait(5)
    OVERTAKE[overtake](leases_on(server.port))
    database.answering.set()
    assert reader.result() == ("old", Source.DATABASE)
    with server.client() as client:
        assert client.get("k") != encode("old")


def test_a_second_reader_after_an_invalidation_does_not_wait_for_the_first(server, cache, database):
    database.answering.clear()
    reader = InBackground(lambda: value_of(cache, database))
    assert database.asked.wait(5)
    leases_on(server.port).drop(["k"])
    fresh = Database("new")
    assert value_of(cache, fresh) == ("new", Source.DATABASE)
    database.answering.set()
    reader.result()
    assert value_of(cache, fresh) == ("new", Source.CACHE)


# Writers


def test_a_write_is_there_for_the_next_reader(leases, cache, database):
    leases.reserve(["k"], "w")
    leases.settle({"k": encode("new")}, "w")
    assert value_of(cache, database) == ("new", Source.CACHE)


def test_while_a_writer_commits_readers_load_and_nobody_fills_or_waits(server, leases, cache, database):
    leases.settle({"k": encode("old")}, "nobody")
    leases.reserve(["k"], "w")
    with takes_less_than(LEASE / 2):
        assert [value_of(cache, database)[1] for _ in range(3)] == [Source.DATABASE] * 3
    with server.client() as client:
        assert client.keys() == [b"k?lease"]


def test_of_two_writers_that_cross_neither_leaves_a_value(server, leases):
    for order in (("one", "other"), ("other", "one")):
        leases.reserve(["k"], "one")
        leases.reserve(["k"], "other")
        for writer in order:
            leases.settle({"k": encode(writer)}, writer)
        with server.client() as client:
            assert client.get("k") != encode("one"), "it was overtaken, nobody knows who committed last"
            assert client.get("k") is None


def test_a_writer_that_dies_before_it_settles_leaves_nothing_old(leases, cache, database):
    value_of(cache, database)
    leases.reserve(["k"], "of a process that was killed")
    database.value = "new"
    assert value_of(cache, database) == ("new", Source.DATABASE)
    await_lease_end(leases)
    assert value_of(cache, database)[0] == "new"
    assert value_of(cache, database) == ("new", Source.CACHE)


def test_a_reservation_that_was_evicted_drops_what_was_filled_meanwhile(server, leases, cache, database):
    leases.reserve(["k"], "w")
    with server.client() as client:
        client.delete("k?lease")  # as eviction does
    value_of(cache, database)
    leases.settle({"k": encode("new")}, "w")
    assert value_of(cache, Database("new")) == ("new", Source.DATABASE)
