"""Throw-away Redis servers for the tests: single ones, which can be frozen and killed, Sentinel, Redis Cluster."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis
from booting import boots
from conftest import free_port
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.waiting import eventually


@boots
class RedisServer:
    """One redis-server process on 127.0.0.1, without persistence: what it held is gone with it.

    It works in `directory`: even without persistence a replica stores there what its primary sends.
    """

    def __init__(self, directory: Path, port: int, options: Sequence[str] = (), password: str | None = None) -> None:
        self.port, self._password = port, password
        self._directory, self._options = directory, options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when it answers."""
        own = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory), "--save", ""]
        command = ["redis-server", *own, *self._options]
        with (self._directory / "redis.log").open("ab") as log:
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
        once = Retry(NoBackoff(), 0)
        return redis.Redis(port=self.port, password=self._password, socket_timeout=2, retry=once, protocol=2)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@boots
@contextmanager
def watched(directory: Path, service: str, password: str) -> Iterator[tuple[int, int, int]]:
    """A master, its replica and a Sentinel that knows them as `service`, all with one password; yields their ports."""
    master, replica, sentinel = free_port(), free_port(), free_port()
    folders = [directory / name for name in ("master", "replica", "sentinel")]
    for folder in folders:
        folder.mkdir(parents=True)
    file = folders[2] / "sentinel.conf"
    file.write_text(
        f"port {sentinel}\nbind 127.0.0.1\ndir {folders[2]}\nsentinel monitor {service} 127.0.0.1 {master} 1\n"
        f"sentinel down-after-milliseconds {service} 1000\nsentinel failover-timeout {service} 3000\n"
        f"sentinel auth-pass {service} {password}\nrequirepass {password}\n"
    )
    common = ["--repl-diskless-sync-delay", "0", "--requirepass", password, "--masterauth", password]
    with ExitStack() as opened:
        opened.enter_context(running(folders[0], master, common, password))
        follows = ["--replicaof", "127.0.0.1", str(master)]
        opened.enter_context(running(folders[1], replica, [*common, *follows], password))
        opened.enter_context(_sentinel(file))
        asking = opened.enter_context(redis.Redis(port=sentinel, password=password, socket_timeout=2, protocol=2))

        def knows_both() -> None:
            ((_, states),) = asking.sentinel_masters().items()
            assert states["num-slaves"] == 1, states
            (one,) = asking.sentinel_slaves(service)
            assert one["master-link-status"] == "ok", one

        eventually(knows_both, within=30, subject="the Sentinel knows both", retry_on=(Exception,))
        yield master, replica, sentinel


@contextmanager
def _sentinel(file: Path) -> Iterator[None]:
    with file.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(["redis-server", str(file), "--sentinel"], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@boots
@contextmanager
def clustered(directory: Path, primaries: int = 3) -> Iterator[tuple[int, ...]]:
    """A Redis Cluster whose primaries have a replica each; yields the ports of all nodes."""
    ports = [free_port() for _ in range(2 * primaries)]
    with ExitStack() as opened:
        for port in ports:
            (directory / str(port)).mkdir(parents=True)
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
            options += ["--cluster-port", str(free_port()), "--repl-diskless-sync-delay", "0"]
            opened.enter_context(running(directory / str(port), port, options))
        nodes = [f"127.0.0.1:{port}" for port in ports]
        create = ["redis-cli", "--cluster", "create", *nodes, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=60)
        asking = opened.enter_context(redis.Redis(port=ports[0], socket_timeout=2, protocol=2))

        def complete() -> None:
            assert b"cluster_state:ok" in asking.execute_command("CLUSTER", "INFO")
            for port in ports:
                with redis.Redis(port=port, socket_timeout=2, protocol=2) as one:
                    info = one.info("replication")
                    assert info.get("connected_slaves") == 1 or info.get("master_link_status") == "up", info
                    slots = one.execute_command("CLUSTER SLOTS")
                    assert [len(nodes) for _, _, *nodes in slots] == [2] * primaries, slots

        eventually(complete, within=30, subject="the Redis Cluster is complete", retry_on=(Exception,))
        yield tuple(ports)


@contextmanager
def running(
    directory: Path, port: int, options: Sequence[str] = (), password: str | None = None
) -> Iterator[RedisServer]:
    """A started server, killed at the end."""
    server = RedisServer(directory, port, options, password)
    try:
        server.start()
        yield server
    finally:
        server.kill()
