"""How many round trips to Redis a client needs to read or store many entries in one call."""

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Self, TypeVar

from support.cache.clients import CacheClient
from support.errors import Inconclusive
from support.example_app.cache import Read
from support.target.topology import Address
from support.waiting import pause

T = TypeVar("T")

_CHUNK = 1 << 16  # bytes
_DELAYS = (0.02, 0.05, 0.1)
"""Seconds by which answers are delayed, so that what a client sends without waiting arrives before the first answer.

A client that is kept from running for longer than that seems to have waited for the answer. Such a disturbance can only
add round trips, so a call is repeated, each time with a longer delay, and the fewest round trips are what it needs.
The longest delay is shorter than the timeouts of clients.
"""


class RoundTripCounter:
    """A relay to an address that counts round trips: how often a client sent something after it had been answered.

    It is a context manager. Answers are passed on with a short delay, so that commands that a client sends without
    waiting count as one round trip, however many they are.
    """

    def __init__(self, target: Address) -> None:
        self.count = 0
        self.delay = _DELAYS[0]
        self._target = target
        self._open = ExitStack()
        self._lock = threading.Lock()

    @property
    def address(self) -> Address:
        """Where to connect to instead of the target."""
        host, port = self._listener.getsockname()[:2]
        return Address(host, port)

    def __enter__(self) -> Self:
        self._listener = self._open.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._open.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                self._open.callback(_hang_up, client)
                server = socket.create_connection((self._target.host, self._target.port))
                self._open.callback(_hang_up, server)
                answered = threading.Event()
                answered.set()
                threading.Thread(target=self._ask, args=(client, server, answered), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client, answered), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, answered: threading.Event) -> None:
        with suppress(OSError):
            while said := client.recv(_CHUNK):
                if answered.is_set():
                    answered.clear()
                    with self._lock:
                        self.count += 1
                server.sendall(said)
        _hang_up(server)

    def _answer(self, server: socket.socket, client: socket.socket, answered: threading.Event) -> None:
        with suppress(OSError):
            while said := server.recv(_CHUNK):
                pause(self.delay)
                answered.set()
                client.sendall(said)
        _hang_up(client)


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()


@dataclass(frozen=True)
class Batch:
    """Entries that were stored or read in one call."""

    stored: dict[str, str]
    """Key -> the value that was stored."""
    reads: dict[str, Read]
    """Key -> what was read back."""
    round_trips: int
    """To Redis, for one such call: the fewest of several."""


def read_batch(client: CacheClient, counter: RoundTripCounter, namespace: str, count: int) -> Batch:
    """Read `count` cached entries in one call. Raises Inconclusive if the client sent nothing to the counter."""
    values = {f"entry-{number}": f"value {number}" for number in range(count)}
    client.repository.write_many(namespace, values)
    client.repository.read_many(namespace, list(values))
    reads, round_trips = _fewest(counter, lambda _: client.repository.read_many(namespace, list(values)))
    return Batch(values, dict(reads), round_trips)


def store_batch(client: CacheClient, counter: RoundTripCounter, namespace: str, count: int) -> Batch:
    """Store `count` entries in one call, and read them back afterwards.

    Raises Inconclusive if the client sent nothing to the counter.
    """
    client.repository.read(namespace, "any")  # so that it has connected

    def store(turn: int) -> dict[str, str]:
        values = {f"at-once-{count}-{turn}-{number}": f"value {number}" for number in range(count)}
        client.repository.write_many(namespace, values)
        return values

    stored, round_trips = _fewest(counter, store)
    return Batch(stored, dict(client.repository.read_many(namespace, list(stored))), round_trips)


def _fewest(counter: RoundTripCounter, call: Callable[[int], T]) -> tuple[T, int]:
    """What the call with the fewest round trips returned, and their number. `call` is told how often it was called."""
    found: list[tuple[T, int]] = []
    for turn, counter.delay in enumerate(_DELAYS):
        before = counter.count
        returned = call(turn)
        found.append((returned, counter.count - before))
    if not counter.count:  # what it stored went elsewhere
        raise Inconclusive("the cache repository does not use the address of Redis that it was given")
    return min(found, key=lambda one: one[1])
