"""The tools that measure the floors: pgbench, redis-benchmark, initdb, and a bare connection to Redis.

pgbench and redis-benchmark use one client, on the same server and over the same route as the suite.
"""

import csv
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from support import sql
from support.errors import ConnectFailed, NotAvailable, ProcessFailed
from support.target.cluster import Cluster
from support.target.topology import RedisAddress
from support.timeouts import CONNECT

WARM_UP = 20
"""The first operations of a measurement, which are not counted."""
_TIMEOUT = 300.0  # seconds for one run of a tool
_END = b"\r\n"


@dataclass(frozen=True)
class Benchmarked:
    """The result of redis-benchmark."""

    median: float
    """Latency in ms."""
    rate: float
    """Operations per second."""


def find_pgbench(cluster: Cluster) -> str:
    """The pgbench of the cluster's own PostgreSQL, otherwise the system's. Raises NotAvailable if neither exists."""
    own = cluster.topology.sandbox and cluster.topology.sandbox.parent / "bin" / "pgbench"
    return str(own) if own and own.exists() else _find("pgbench", "postgresql-contrib")


def pgbench(
    program: str, endpoint: sql.Endpoint, statements: Sequence[str], times: int, options: Sequence[str] = ()
) -> float:
    """The median time in ms of the statements, which one client picks at random in one session.

    Uses the simple query protocol, as psycopg2 does. `options` are session settings, written "name = value".
    """
    given = [endpoint.options.get("options", ""), *(f"-c {one.replace(' ', '')}" for one in options)]
    variables = {**sql.login_variables(endpoint, "accept bench"), "PGOPTIONS": " ".join(given).strip()}
    with tempfile.TemporaryDirectory(prefix="accept-") as name:
        folder, scripts = Path(name), list[str]()
        for number, statement in enumerate(statements):
            script = folder / f"{number}.sql"
            script.write_text(f"{statement};\n", encoding="utf-8")
            scripts.append(f"--file={script}")
        size = ["--client=1", "--jobs=1", f"--transactions={times + WARM_UP + 1}"]
        kind = ["--no-vacuum", "--protocol=simple", "--log", f"--log-prefix={folder / 'log'}"]
        _run([program, *size, *kind, *scripts], variables)
        (log,) = folder.glob("log*")
        fields = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    # Measure from one end to the next. pgbench reads the clock once per round of its event loop, so the latency that
    # it logs is 0 if the answer is there when it first looks.
    ends = [int(seconds) * 1000 + int(microseconds) / 1000 for *_, seconds, microseconds in fields]
    return float(numpy.median(numpy.diff(ends)[WARM_UP:]))


def redis_benchmark(server: RedisAddress, command: Sequence[str], times: int) -> Benchmarked:
    """Repeat a command with one client over one connection. Raises NotAvailable if redis-benchmark is missing."""
    program = _find("redis-benchmark", "redis-tools")
    login = [*(["--user", server.user] if server.user else []), *(["-a", server.password] if server.password else [])]
    where = ["-h", server.address.host, "-p", str(server.address.port), "--dbnum", str(server.database), *login]
    if server.tls:
        files = {"--cacert": server.tls.authorities, "--cert": server.tls.certificate, "--key": server.tls.key}
        where += ["--tls", *(word for option, file in files.items() if file for word in (option, file))]
    output = _run([program, *where, "-c", "1", "-n", str(times), "--csv", *command])
    (found,) = csv.DictReader(output.splitlines()[output.splitlines().index(_heading(output)) :])
    return Benchmarked(median=float(found["p50_latency_ms"]), rate=float(found["rps"]))


def seconds_of(argv: Sequence[str | Path]) -> float:
    """How long a program runs. Raises ProcessFailed if it fails."""
    begun = time.perf_counter()
    _run(argv)
    return time.perf_counter() - begun


def initdb(bindir: Path) -> float:
    """Seconds that PostgreSQL needs to initialise one data directory: no cluster member can start faster."""
    unprivileged = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="accept-") as folder:
        return seconds_of([*unprivileged, bindir / "initdb", "--pgdata", Path(folder, "data"), "--username=postgres"])


class RedisLine:
    """A bare connection to Redis, logged in: what a command takes if no client library is involved.

    For commands whose answer is one short value. A context manager.
    """

    def __init__(self, server: RedisAddress) -> None:
        self._server = server

    def __enter__(self) -> "RedisLine":
        """Raises OSError if nothing answers, ConnectFailed if the login is refused."""
        address = (self._server.address.host, self._server.address.port)
        self._socket = socket.create_connection(address, timeout=CONNECT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls := self._server.tls:
            context = ssl.create_default_context(cafile=tls.authorities)
            if tls.certificate:
                context.load_cert_chain(tls.certificate, tls.key)
            self._socket = context.wrap_socket(self._socket, server_hostname=self._server.address.host)
        if self._server.password is not None:
            login = [self._server.user] if self._server.user else []
            self.ask("AUTH", *login, self._server.password)
        if self._server.database:
            self.ask("SELECT", str(self._server.database))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, *words: str) -> bytes:
        """The raw answer to a command. Raises ConnectFailed if Redis refuses it or closes the connection."""
        encoded = [word.encode() for word in words]
        self._socket.sendall(
            b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in encoded)
        )
        answer = b""
        while not _is_complete(answer):
            if not (more := self._socket.recv(4096)):
                raise ConnectFailed(f"Redis at {self._server.address} closed the connection")
            answer += more
        if answer.startswith(b"-"):
            raise ConnectFailed(f"Redis at {self._server.address} refuses {words[0]}: {answer.decode().strip()}")
        return answer


def _is_complete(answer: bytes) -> bool:
    """Whether a whole answer has arrived: one line, or as many bytes as the first line announces."""
    line, end, rest = answer.partition(_END)
    if not end:
        return False
    return not line.startswith(b"$") or line == b"$-1" or len(rest) == int(line[1:]) + len(_END)


def _heading(output: str) -> str:
    for line in output.splitlines():
        if line.startswith('"test"'):
            return line
    raise ProcessFailed(f"redis-benchmark printed no table: {' '.join(output.split())[:300]}")


def _find(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise NotAvailable(f"{program} is not installed (Debian: {package})")
    return found


def _run(argv: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> str:
    """A program's output. Error messages leave out the arguments, which may hold a password."""
    name = Path(argv[0]).name
    try:
        ended = subprocess.run(
            argv,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise ProcessFailed(f"{name} did not end within {_TIMEOUT:.0f} s") from None
    if ended.returncode:
        raise ProcessFailed(f"{name} ended with status {ended.returncode}: {' '.join(ended.stderr.split())[-300:]}")
    return ended.stdout
