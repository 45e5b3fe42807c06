"""Publishing: connections to ports on this machine's 127.0.0.1 are forwarded to hosts of the sandbox.

A listening socket stays in the network namespace where it was made. So the sockets are bound before the sandbox is
entered. A small process inside accepts on them, connects to the host, and copies both ways. It has one thread and no
queue: it writes what it has read at once, and stops reading for a peer that does not read.
"""

import errno
import resource
import selectors
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from support.errors import UsageError
from support.hosts import kernel, process_tags

LOCALHOST = "127.0.0.1"
CHUNK = 1 << 18  # bytes read at once, so at most this much waits for a slow reader in each direction
CONNECT_ATTEMPTS = 3  # SYNs sent to a silent host, which is given up after 15 seconds
Address = tuple[str, int]


def bind(names: Sequence[str], preferred: Mapping[str, int]) -> dict[str, socket.socket]:
    """A listening socket on 127.0.0.1 for each name, on its preferred port where that is free."""
    return {name: _listener(preferred.get(name, 0)) for name in names}


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((LOCALHOST, port), backlog=512)
    except OSError:
        if port == 0:
            raise
        return _listener(0)


class Relay:
    """The supervisor's control over the process that copies."""

    def __init__(self, listeners: Mapping[str, socket.socket], tag: int) -> None:
        self._listeners, self._tag = listeners, tag
        self._targets: Mapping[str, Address] = {}
        self._pid: int | None = None

    def forward(self, targets: Mapping[str, Address]) -> None:
        """Forward each name to an address, and no other name anywhere; open connections end."""
        if unknown := sorted(set(targets) - set(self._listeners)):
            raise UsageError(f"cannot publish {', '.join(unknown)}: not named when the sandbox was entered")
        self._targets = targets
        if self._pid is not None:
            process_tags.send([self._pid], signal.SIGKILL)
        self._pid = kernel.fork(self._copy) if targets else None

    def note_end(self, pid: int) -> None:
        """A child of the supervisor has ended; if it was the copying process, start another."""
        if pid == self._pid:
            self._pid = None
            self.forward(self._targets)

    def _copy(self) -> None:
        used = {name: self._listeners[name] for name in self._targets}
        process_tags.adopt(self._tag)
        kernel.stand_alone("accept-relay", keep=[listener.fileno() for listener in used.values()])
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        copy([(listener, self._targets[name]) for name, listener in used.items()])


@dataclass(eq=False)
class Direction:
    """One direction of a connection."""

    source: socket.socket
    sink: socket.socket
    waiting: bytes = b""
    ended: bool = False
    """The source will send no more. The sink is told once nothing waits."""

    def carry(self) -> None:
        """Pass on as much of the source's data as the sink takes. Raises OSError when either is broken."""
        if not self.waiting and not self.ended:
            try:
                self.waiting = self.source.recv(CHUNK)
                self.ended = not self.waiting
            except BlockingIOError:
                return
        if self.waiting:
            try:
                self.waiting = self.waiting[self.sink.send(self.waiting) :]
            except BlockingIOError:
                return
        if self.ended:
            self.sink.shutdown(socket.SHUT_WR)


class Connection:
    """A client, the host that it is forwarded to, and the two directions between them."""

    def __init__(self, selector: selectors.BaseSelector, client: socket.socket, target: Address) -> None:
        self._selector = selector
        self._open = True
        self._host = socket.socket()
        self._ends = (client, self._host)
        self._directions = (Direction(client, self._host), Direction(self._host, client))
        for end in self._ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, CONNECT_ATTEMPTS)
        if self._host.connect_ex(target) in (0, errno.EINPROGRESS):
            self._selector.register(self._host, selectors.EVENT_WRITE, self.connected)
        else:
            self._close()

    def connected(self, end: socket.socket, events: int) -> None:
        """The connection to the host was made, or failed."""
        if end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._close()
        else:
            self._listen()

    def ready(self, end: socket.socket, events: int) -> None:
        """One end can be read or written, unless handling the other end has just closed the connection."""
        if not self._open:
            return
        try:
            for direction in self._directions:
                if (end is direction.source and events & selectors.EVENT_READ and not direction.ended) or (
                    end is direction.sink and events & selectors.EVENT_WRITE and direction.waiting
                ):
                    direction.carry()
        except OSError:
            self._close()
        else:
            self._listen()

    def _listen(self) -> None:
        """Wait for what can happen next: data to read where none waits, room to write where some does."""
        if all(direction.ended and not direction.waiting for direction in self._directions):
            return self._close()
        onward, back = self._directions
        self._await(onward.source, onward, back)
        self._await(onward.sink, back, onward)
        return None

    def _await(self, end: socket.socket, outgoing: Direction, incoming: Direction) -> None:
        events = selectors.EVENT_WRITE if incoming.waiting else 0
        if not outgoing.waiting and not outgoing.ended:
            events |= selectors.EVENT_READ
        known = self._selector.get_map().get(end)
        if known is None and events:
            self._selector.register(end, events, self.ready)
        elif known is not None and not events:
            self._selector.unregister(end)
        elif known is not None and (known.events, known.data) != (events, self.ready):
            self._selector.modify(end, events, self.ready)

    def _close(self) -> None:
        self._open = False
        for end in self._ends:
            if self._selector.get_map().get(end) is not None:
                self._selector.unregister(end)
            end.close()


def copy(routes: Sequence[tuple[socket.socket, Address]]) -> None:
    """Accept on each listener and forward to its address, forever."""
    with selectors.DefaultSelector() as selector:
        for listener, target in routes:
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ, _accepting(selector, target))
        while True:
            for key, events in selector.select():
                key.data(key.fileobj, events)


def _accepting(selector: selectors.BaseSelector, target: Address) -> Callable[[socket.socket, int], None]:
    def accept(listener: socket.socket, events: int) -> None:
        with suppress(OSError):  # the client gave up, or no file is free: continue with the next
            client, _ = listener.accept()
            Connection(selector, client, target)

    return accept
