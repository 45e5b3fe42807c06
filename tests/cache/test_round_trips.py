"""Round trips are counted by what a client waits for, not by how fast it is."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import free_port
from redis_servers import running

from support.cache.round_trips import RoundTripCounter, _fewest
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
