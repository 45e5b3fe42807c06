"""A relay that counts round trips: how often a client spoke after it had been answered."""

import socket
import threading
from contextlib import ExitStack, suppress

from support.cluster.topology import Address
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
