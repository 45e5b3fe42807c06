"""A host that accepts every connection and never answers."""

import socket
import threading
from types import TracebackType

from support.errors import Inconclusive
from support.sql import Endpoint


class BlackHoleServer:
    """Listens on a loopback address while its `with` block runs. To a client it looks like a frozen server.

    It closes each connection after `patience` seconds, so that a client without a timeout does not wait forever.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._host, self._port = self._listening.getsockname()
        self._callers: list[tuple[socket.socket, threading.Timer]] = []
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    @property
    def name(self) -> str:
        """Address and port, as an error message should name them."""
        return f"{self._host}:{self._port}"

    @property
    def endpoint(self) -> Endpoint:
        """Where to try a login."""
        return Endpoint("a silent host", self._host, self._port, "postgres", "nobody", "")

    def require_caller(self) -> None:
        """Raises Inconclusive unless it has accepted a connection."""
        if not self._callers:
            raise Inconclusive(f"{self.name} never accepted a connection")

    def __enter__(self) -> "BlackHoleServer":
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._acceptor.join()
        for caller, timer in self._callers:
            timer.cancel()
            caller.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:  # no longer listening
                return
            timer = threading.Timer(self._patience, caller.close)
            timer.daemon = True
            timer.start()
            self._callers.append((caller, timer))
