"""The cache while Redis is down, frozen, silent or full, and afterwards; against real servers."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from bounds import takes_less_than
from caching import ANSWER, LEASE, RETRY, Database, leases_on, value_of
from conftest import free_port
from redis_servers import RedisServer, running

from support.cache.round_trips import RoundTripCounter
from support.example_app.cache import Source
from support.example_app.cache.codec import encode
from support.example_app.cache.leases import Breaker, Leases, Unavailable
from support.example_app.cache.repository import CacheAside
from support.target.topology import Address
from support.waiting import eventually, pause


@pytest.fixture
def database() -> Database:
    return Database()


def bounded(read: Callable[[], Any], limit: float = 2 * ANSWER) -> Any:
    with takes_less_than(limit):
        return read()


@pytest.fixture
def doomed(tmp_path) -> Iterator[RedisServer]:
    with running(tmp_path, free_port()) as started:
        yield started


def await_hit(cache: CacheAside, database: Database) -> None:
    def hit() -> None:
        assert value_of(cache, database)[1] is Source.CACHE

    eventually(hit, within=RETRY + LEASE + 1, subject="the cache is used again", pause=0.05)


@pytest.mark.parametrize("outage", ["killed", "frozen"])
def test_an_outage_reaches_no_reader_and_caching_resumes_by_itself(doomed, database, outage):
    cache = CacheAside(leases_on(doomed.port), LEASE)
    value_of(cache, database)
    doomed.kill() if outage == "killed" else doomed.freeze()
    assert bounded(lambda: value_of(cache, database)) == ("value", Source.DATABASE)
    assert bounded(lambda: [value_of(cache, database) for _ in range(50)], ANSWER)[-1] == ("value", Source.DATABASE)
    doomed.start() if outage == "killed" else doomed.thaw()
    await_hit(cache, database)


class Line(RoundTripCounter):
    """A relay that can fall silent on what is connected, as when a host loses its power; new connections work."""

    def __init__(self, target: Address) -> None:
        super().__init__(target)
        self._made, self._first_alive = itertools.count(), 0

    def fall_silent(self) -> None:
        self._first_alive = next(self._made)

    def _answer(self, server: socket.socket, client: socket.socket, answered: threading.Event) -> None:
        number = next(self._made)
        with suppress(OSError):
            while said := server.recv(1 << 16):
                pause(0.05)  # so that whoever asks at the same time needs a connection of its own
                if number >= self._first_alive:
                    client.sendall(said)


def test_many_idle_connections_that_died_do_not_delay_the_recovery(doomed, database):
    gate = threading.Barrier(20)

    def read(number: int) -> Source:
        gate.wait(5)
        return value_of(cache, database, str(number))[1]

    with Line(Address("127.0.0.1", doomed.port)) as line, ThreadPoolExecutor(20) as pool:
        cache = CacheAside(leases_on(line.address.port), LEASE)
        list(pool.map(read, range(20)))
        line.fall_silent()
        assert bounded(lambda: value_of(cache, database)) == ("value", Source.DATABASE)
        pause(RETRY)
        value_of(cache, database)
        assert list(pool.map(read, range(20))) == [Source.CACHE] * 20


def test_a_full_redis_reaches_no_reader_and_no_writer(tmp_path, database):
    with running(tmp_path, free_port(), ["--maxmemory", "1mb", "--maxmemory-policy", "noeviction"]) as full:
        leases = leases_on(full.port)
        cache = CacheAside(leases, LEASE)
        assert value_of(cache, database) == ("value", Source.DATABASE)
        with suppress(Unavailable):
            leases.settle({"k": encode("new")}, "w")
        assert value_of(cache, Database("new")) == ("new", Source.DATABASE)


CHANGES: dict[str, Callable[[Leases], None]] = {
    "a reservation": lambda leases: leases.reserve(["k"], "w"),
    "an invalidation": lambda leases: leases.drop(["k"]),
    "a value that another write replaced": lambda leases: leases.settle({"k": encode("replaced")}, "before"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_an_outage_swallowed_is_made_up_for_before_the_next_read(doomed, change):
    leases = leases_on(doomed.port)
    cache = CacheAside(leases, LEASE)
    value_of(cache, Database("old"))
    if change == "a value that another write replaced":
        leases.reserve(["k"], "before")
    doomed.freeze()
    with pytest.raises(Unavailable):
        CHANGES[change](leases)
    doomed.thaw()  # and now it does what it was sent before
    pause(RETRY)
    assert value_of(cache, Database("new"))[0] == "new"
    await_hit(cache, Database("new"))
    assert value_of(cache, Database("new")) == ("new", Source.CACHE), "the first read may not have asked Redis"


def test_a_debt_is_forgotten_when_nothing_old_can_be_left(doomed):
    leases = leases_on(doomed.port, time_to_live=0.1, staleness_bound=0.1)
    doomed.kill()
    for number in range(50):
        with pytest.raises(Unavailable):
            leases.drop([f"k{number}"])
    pause(0.11)
    with pytest.raises(Unavailable):
        leases.drop(["last"])
    assert list(leases._debts) == ["last"]


def test_a_closed_breaker_admits_all_an_open_one_admits_one_in_each_pause():
    breaker = Breaker(0.1)
    assert [breaker.admits() for _ in range(3)] == [True] * 3
    breaker.failed()
    assert not breaker.admits()
    pause(0.11)
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert [breaker.admits() for _ in range(3)] == [True] * 3
