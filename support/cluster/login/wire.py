"""Messages of PostgreSQL's protocol, over a socket, with TLS where the server offers it."""

import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from support import sql
from support.errors import NotAvailable
from support.timeouts import CONNECT

_PROTOCOL_3_0 = 196608
_SSL_REQUEST = 80877103


class Wire:
    """One connection to a server. Whatever goes wrong on the way is an OSError."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def start(self, parameters: Mapping[str, str]) -> None:
        """The first message: who wants in, and where to."""
        words = b"".join(text(word) for pair in parameters.items() for word in pair)
        self.send(b"", struct.pack("!i", _PROTOCOL_3_0) + words + b"\0")

    def send(self, kind: bytes, body: bytes) -> None:
        self._stream.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """Kind and body of each message of the server, until it hangs up."""
        while kind := self._stream.recv(1):
            (length,) = struct.unpack("!i", self._exactly(4))
            yield kind, self._exactly(length - 4)

    def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            more = self._stream.recv(count - len(received))
            if not more:
                raise ConnectionError("the server hung up in the middle of a message")
            received += more
        return received


@contextmanager
def wire(endpoint: sql.Endpoint) -> Iterator[Wire]:
    """A connection, closed at the end; secured as `sslmode` says, where the server offers it by default."""
    mode = endpoint.options.get("sslmode", "prefer")
    with socket.create_connection((endpoint.host, endpoint.port), timeout=CONNECT) as stream:
        if mode in ("disable", "allow") or not _offers_tls(stream):
            if mode in ("require", "verify-ca", "verify-full"):
                raise NotAvailable(f"{endpoint.name} offers no TLS, and sslmode={mode} asks for it")
            yield Wire(stream)
        else:
            with _context(endpoint.options).wrap_socket(stream, server_hostname=endpoint.host) as secured:
                yield Wire(secured)


def text(word: str) -> bytes:
    """A string as the protocol has it."""
    return word.encode() + b"\0"


def error_fields(body: bytes) -> dict[str, str]:
    """What an error message consists of: C is the SQLSTATE, M the words."""
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def _offers_tls(stream: socket.socket) -> bool:
    stream.sendall(struct.pack("!ii", 8, _SSL_REQUEST))
    answer = stream.recv(1)
    if not answer:
        raise ConnectionError("the server hung up without a word")
    return answer == b"S"


def _context(options: Mapping[str, str]) -> ssl.SSLContext:
    """TLS that does not verify the server: what is tried here are logins, not certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if "sslcert" in options:
        context.load_cert_chain(options["sslcert"], options.get("sslkey"))
    return context
