"""Round trips are counted by what a client waits for, not by how fast it is."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis
from conftest import free_port
from redis_servers import running

from steps.cache import value_steps
from support.cache.clients import CacheClient
from support.cache.handover import CacheHandover
from support.cache.round_trips import Batch, RoundTripCounter, _fewest, read_batch, store_batch
from support.engine.world import Context
from support.errors import Inconclusive
from support.example_app.cache import Read, Source
from support.target.topology import Address
from support.waiting import pause

PING, PONG = b"PING\r\n", b"+PONG\r\n"
STALL = 0.03  # seconds for which the client is kept from running: longer than the shortest delay of the counter


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[RoundTripCounter]:
    port = free_port()
    with running(tmp_path, port), RoundTripCounter(Address("127.0.0.1", port)) as found:
        yield found


def sends_two(line: socket.socket) -> None:
    """Without waiting for the first answer."""
    line.sendall(PING)
    pause(STALL)
    line.sendall(PING)
    require(line, 2 * PONG)


def waits_for_each(line: socket.socket) -> None:
    for _ in range(2):
        line.sendall(PING)
        require(line, PONG)


def require(line: socket.socket, answer: bytes) -> None:
    said = b""
    while len(said) < len(answer):
        said += line.recv(100)
    assert said == answer


@pytest.mark.parametrize(("call", "trips"), [(sends_two, 1), (waits_for_each, 2)])
def test_a_client_that_stalls_between_two_commands_has_not_waited_for_an_answer(
    counter: RoundTripCounter, call: Callable[[socket.socket], None], trips: int
) -> None:
    with socket.create_connection((counter.address.host, counter.address.port)) as line:
        assert _fewest(counter, lambda _: call(line))[1] == trips


class Pipelined:
    """Stores and reads many values in one round trip. With `keeps`, it reads what it has stored from its memory."""

    def __init__(self, at: Address, keeps: bool = False) -> None:
        self._redis = redis.Redis(at.host, at.port, protocol=2, decode_responses=True)
        self._kept: dict[str, str] | None = {} if keeps else None

    def write_many(self, namespace: str, values: Mapping[str, str]) -> None:
        self._redis.mset({f"{namespace} {key}": value for key, value in values.items()})
        if self._kept is not None:
            self._kept.update(values)

    def read(self, namespace: str, key: str) -> Read:
        return Read(self._redis.get(f"{namespace} {key}"), Source.CACHE)

    def read_many(self, namespace: str, keys: Sequence[str]) -> Mapping[str, Read]:
        found = (
            self._redis.mget([f"{namespace} {key}" for key in keys])
            if self._kept is None
            else [*map(self._kept.get, keys)]
        )
        return {key: Read(value, Source.CACHE) for key, value in zip(keys, found, strict=True)}


def client(repository: Pipelined) -> CacheClient:
    return CacheClient(cast(Any, repository), cast(Any, None))


@pytest.mark.parametrize("call", [read_batch, store_batch])
def test_without_a_word_to_the_counter_nothing_is_known(
    counter: RoundTripCounter, call: Callable[[CacheClient, RoundTripCounter, str, int], Batch]
) -> None:
    """As by a repository that connects by settings of its own."""
    with pytest.raises(Inconclusive, match="does not use the address of Redis that it was given"):
        call(client(Pipelined(counter._target)), counter, "n", 3)
    assert call(client(Pipelined(counter.address)), counter, "n", 3).round_trips == 1


@pytest.mark.parametrize("keeps", [False, True])
def test_what_a_client_has_in_its_memory_takes_no_round_trip(counter: RoundTripCounter, keeps: bool) -> None:
    batch = read_batch(client(Pipelined(counter.address, keeps)), counter, "n", 3)
    assert batch.round_trips == (0 if keeps else 1)
    judge(batch)
    assert {key: read.value for key, read in batch.reads.items()} == batch.stored


def test_more_than_one_round_trip_is_told() -> None:
    with pytest.raises(AssertionError, match=r"round trips to Redis for 1 entries"):
        judge(Batch({"k": "v"}, {}, 2))


def judge(batch: Batch) -> None:
    handover = CacheHandover()
    handover.batch = batch
    world = SimpleNamespace(handover=lambda _: handover)
    value_steps.step_round_trips(cast(Context, SimpleNamespace(world=world)), 1)
