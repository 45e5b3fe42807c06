"""What others measure: pgbench and redis-benchmark, with one client, on the same server over the same way."""

import csv
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from support import sql
from support.errors import NotAvailable, ProcessFailed
from support.target.cluster import Cluster
from support.target.topology import RedisAddress

_WARM_UP = 20  # transactions of pgbench that are not counted, as of our own reads
_TAKES = 300.0  # seconds at the most


@dataclass(frozen=True)
class Benchmarked:
    """What redis-benchmark found."""

    median: float
    """In ms."""
    rate: float
    """Operations a second."""


def find_pgbench(cluster: Cluster) -> str:
    """The pgbench of the cluster's own PostgreSQL, else the system's. Raises NotAvailable without one."""
    own = cluster.topology.sandbox and cluster.topology.sandbox.parent / "bin" / "pgbench"
    return str(own) if own and own.exists() else _find("pgbench", "postgresql-contrib")


def pgbench(
    program: str, endpoint: sql.Endpoint, statements: Sequence[str], times: int, options: Sequence[str] = ()
) -> float:
    """The median time of those statements in ms, chosen at random, one client with one session.

    By the simple protocol, as psycopg2 asks. `options` are settings of the session, as "name = value".
    """
    given = [endpoint.options.get("options", ""), *(f"-c {one.replace(' ', '')}" for one in options)]
    variables = {**sql.login_variables(endpoint, "accept bench"), "PGOPTIONS": " ".join(given).strip()}
    with tempfile.TemporaryDirectory(prefix="accept-") as name:
        folder, scripts = Path(name), list[str]()
        for number, statement in enumerate(statements):
            script = folder / f"{number}.sql"
            script.write_text(f"{statement};\n", encoding="utf-8")
            scripts.append(f"--file={script}")
        size = ["--client=1", "--jobs=1", f"--transactions={times + _WARM_UP + 1}"]
        kind = ["--no-vacuum", "--protocol=simple", "--log", f"--log-prefix={folder / 'log'}"]
        _run([program, *size, *kind, *scripts], variables)
        (log,) = folder.glob("log*")
        fields = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    # From end to end: pgbench takes one time for all that it does in one go, and so the times that it gives itself
    # are 0 wherever the answer had come by the time it looked for it first.
    ends = [int(seconds) * 1000 + int(microseconds) / 1000 for *_, seconds, microseconds in fields]
    return float(numpy.median(numpy.diff(ends)[_WARM_UP:]))


def redis_benchmark(server: RedisAddress, command: Sequence[str], times: int) -> Benchmarked:
    """That command again and again, one client over one connection. Raises NotAvailable without redis-benchmark."""
    program = _find("redis-benchmark", "redis-tools")
    login = [*(["--user", server.user] if server.user else []), *(["-a", server.password] if server.password else [])]
    where = ["-h", server.address.host, "-p", str(server.address.port), *login]
    said = _run([program, *where, "-c", "1", "-n", str(times), "--csv", *command])
    (found,) = csv.DictReader(said.splitlines()[said.splitlines().index(_heading(said)) :])
    return Benchmarked(median=float(found["p50_latency_ms"]), rate=float(found["rps"]))


def seconds_of(argv: Sequence[str | Path]) -> float:
    """How long a program takes from its start to its end. Raises ProcessFailed when it ends wrongly."""
    begun = time.perf_counter()
    _run(argv)
    return time.perf_counter() - begun


def initdb(bindir: Path) -> float:
    """Seconds in which PostgreSQL makes one new database, alone: no member of any cluster starts faster."""
    unprivileged = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="accept-") as folder:
        return seconds_of([*unprivileged, bindir / "initdb", "--pgdata", Path(folder, "data"), "--username=postgres"])


def _heading(said: str) -> str:
    for line in said.splitlines():
        if line.startswith('"test"'):
            return line
    raise ProcessFailed(f"redis-benchmark gave no table: {' '.join(said.split())[:300]}")


def _find(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise NotAvailable(f"{program} is not installed (Debian: {package})")
    return found


def _run(argv: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> str:
    """What it printed. Its arguments are not repeated when it fails: they may hold a password."""
    name = Path(argv[0]).name
    try:
        ended = subprocess.run(
            argv,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TAKES,
        )
    except subprocess.TimeoutExpired:
        raise ProcessFailed(f"{name} did not end within {_TAKES:.0f} s") from None
    if ended.returncode:
        raise ProcessFailed(f"{name} ended with status {ended.returncode}: {' '.join(ended.stderr.split())[-300:]}")
    return ended.stdout
