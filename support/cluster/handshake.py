"""A login as it goes over the wire: what the server asks for, and the code with which it refuses.

libpq keeps the code of a refused login to itself, and its words depend on the server's language; so the few messages
of a login are spoken here. Source: https://www.postgresql.org/docs/16/protocol-message-formats.html
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support import sql
from support.cluster.scram import ScramClient
from support.errors import NotAvailable
from support.timeouts import CONNECT

_PROTOCOL = 196608
_SSL_REQUEST = 80877103
_TLS_MODES = frozenset({"require", "verify-ca", "verify-full"})

TRUST, CLEARTEXT, MD5, SCRAM = "nothing", "the password in the clear", "an MD5 hash", "SCRAM"


@dataclass(frozen=True)
class Answer:
    """How a server met a login."""

    asked_for: str
    """TRUST, CLEARTEXT, MD5 or SCRAM."""
    refusal: str
    """The SQLSTATE with which it refused; empty when it let the login in."""
    words: str = ""
    """What it said when it refused."""

    @property
    def let_in(self) -> bool:
        return not self.refusal


def log_in(endpoint: sql.Endpoint, *, replication: bool = False) -> Answer:
    """Try a login, for an ordinary session or for one that streams WAL, and leave again.

    Raises OSError when there was no answer: nothing listens, it does not speak, or it hangs up without a word.
    """
    start = {"user": endpoint.user, "database": endpoint.database}
    if replication:
        start["replication"] = "true"
    with _wire(endpoint) as wire:
        wire.send(b"", struct.pack("!i", _PROTOCOL) + b"".join(_text(word) for pair in start.items() for word in pair) + b"\0")
        return _converse(wire, endpoint)


def _converse(wire: "_Wire", endpoint: sql.Endpoint) -> Answer:
    asked_for, scram = TRUST, ScramClient(endpoint.password)
    for kind, body in wire.messages():
        if kind == b"E":
            said = _fields(body)
            return Answer(asked_for, said["C"], said["M"])
        if kind == b"Z":
            return Answer(asked_for, "")
        if kind == b"R":
            match struct.unpack("!i", body[:4])[0]:
                case 3:
                    asked_for = CLEARTEXT
                    wire.send(b"p", _text(endpoint.password))
                case 5:
                    asked_for = MD5
                    wire.send(b"p", _text(_md5(endpoint, body[4:8])))
                case 10:
                    asked_for = SCRAM
                    first = scram.first.encode()
                    wire.send(b"p", _text("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first)
                case 11:
                    wire.send(b"p", scram.final(body[4:].decode()).encode())
                case 0 | 12:
                    pass
                case other:
                    raise NotAvailable(f"{endpoint.name} asks for a login of a kind that is not spoken here ({other})")
    raise ConnectionError(f"{endpoint.name} ({endpoint.host}:{endpoint.port}) hung up without a word")


class _Wire:
    """Messages of the protocol over a socket."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def send(self, kind: bytes, body: bytes) -> None:
        self._stream.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Each message of the server: its kind and its body; ends when the server hangs up."""
        while kind := self._stream.recv(1):
            length = struct.unpack("!i", self._exactly(4))[0]
            yield kind, self._exactly(length - 4)

    def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            more = self._stream.recv(count - len(got))
            if not more:
                raise ConnectionError("the server hung up in the middle of a message")
            got += more
        return got


@contextmanager
def _wire(endpoint: sql.Endpoint) -> Iterator[_Wire]:
    with socket.create_connection((endpoint.host, endpoint.port), timeout=CONNECT) as plain:
        if endpoint.options.get("sslmode") not in _TLS_MODES:
            yield _Wire(plain)
            return
        plain.sendall(struct.pack("!ii", 8, _SSL_REQUEST))
        if plain.recv(1) != b"S":
            raise NotAvailable(f"{endpoint.name} offers no TLS, and sslmode asks for it")
        with _tls(endpoint).wrap_socket(plain, server_hostname=endpoint.host) as secured:
            yield _Wire(secured)
