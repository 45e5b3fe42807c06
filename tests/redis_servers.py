"""A throw-away Redis for the tests, which can be frozen, killed and started again."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis
from booting import boots
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.waiting import eventually


@boots
class RedisServer:
    """One redis-server process on 127.0.0.1, without persistence: what it held is gone with it."""

    def __init__(self, directory: Path, port: int, options: Sequence[str] = ()) -> None:
        self.port = port
        self._log, self._options = directory / "redis.log", options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        with self.client() as client:
            eventually(client.ping, within=10, subject="Redis answers", retry_on=(redis.ConnectionError,), pause=0.02)

    def kill(self) -> None:
        """End it at once; harmless when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A client that tries once and waits for 2 s."""
        return redis.Redis(port=self.port, socket_timeout=2, retry=Retry(NoBackoff(), 0), protocol=2)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def running(directory: Path, port: int, options: Sequence[str] = ()) -> Iterator[RedisServer]:
    """A started server, killed at the end."""
    server = RedisServer(directory, port, options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
