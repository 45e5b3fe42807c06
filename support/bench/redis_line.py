"""A bare connection to Redis: what an answer takes where no client library has a part in it."""

import socket

from support.errors import ConnectFailed
from support.target.topology import RedisAddress
from support.timeouts import CONNECT

_END = b"\r\n"


class RedisLine:
    """One connection, logged in, for commands whose answer is one short value. A context manager."""

    def __init__(self, server: RedisAddress) -> None:
        self._server = server

    def __enter__(self) -> "RedisLine":
        """Raises OSError when nobody answers, ConnectFailed when the login is refused."""
        address = (self._server.address.host, self._server.address.port)
        self._socket = socket.create_connection(address, timeout=CONNECT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._server.password is not None:
            login = [self._server.user] if self._server.user else []
            self.ask("AUTH", *login, self._server.password)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, *words: str) -> bytes:
        """The answer as it came. Raises ConnectFailed when Redis refuses, or hangs up."""
        said = [word.encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(said) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in said))
        answer = b""
        while not _whole(answer):
            if not (more := self._socket.recv(4096)):
                raise ConnectFailed(f"Redis at {self._server.address} hung up")
            answer += more
        if answer.startswith(b"-"):
            raise ConnectFailed(f"Redis at {self._server.address} refuses {words[0]}: {answer.decode().strip()}")
        return answer


def _whole(answer: bytes) -> bool:
    """Whether all of it came: a line, or for a value as many bytes as its first line says."""
    line, end, rest = answer.partition(_END)
    if not end:
        return False
    return not line.startswith(b"$") or line == b"$-1" or len(rest) == int(line[1:]) + len(_END)
