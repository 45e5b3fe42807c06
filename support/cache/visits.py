"""A relay that counts round trips: how often a client spoke after it had been answered.

Clients that use the cache one after the other.
"""

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from support.cache.clients import CacheClient, Recorder
from support.cache.races import KEY
from support.engine.history import History
from support.errors import Inconclusive
from support.example_app.cache import Question, Read, Source
from support.target.topology import Address
from support.waiting import pause

_CHUNK = 1 << 16  # bytes
_ANSWER_TAKES = 0.02  # seconds: what a client sends without waiting arrives before the first answer is passed on


class RoundTrips:
    """Leads connections to an address, and counts. A context manager.

    Answers are passed on a little later than they come, so that commands that were sent together count as one round
    trip, however many there are.
    """

    def __init__(self, target: Address) -> None:
        self.count = 0
        self._target = target
        self._open = ExitStack()
        self._lock = threading.Lock()

    @property
    def address(self) -> Address:
        """Where to connect to instead of the target."""
        host, port = self._listener.getsockname()[:2]
        return Address(host, port)

    def __enter__(self) -> "RoundTrips":
        self._listener = self._open.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
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
                pause(_ANSWER_TAKES)
                answered.set()
                client.sendall(said)
        _hang_up(client)


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()


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
