"""Fixtures that several test modules share, and how `./accept test` spreads the tests over processes."""

import dataclasses
import fcntl
import os
import random
import signal
import socket
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import booting
import pytest
import run_summary
from servers import citus_bindir
from servers import postgres as throw_away_postgres
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from support import libpq, sql
from support.embedded import programs
from support.errors import AcceptError
from support.reporting.installing import install_renderer
from support.settings import Settings

# A shell ignores Ctrl-C for what it starts in the background, and so would each program that a test starts from there.
signal.signal(signal.SIGINT, signal.default_int_handler)

# With one of these typer colours also what is no terminal, as in every job on GitHub.
for colours in ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS"):
    os.environ.pop(colours, None)

UMASK = os.umask(0o022)
os.umask(UMASK)
LOCK = Path(__file__).parent.parent / ".accept" / "tests.lock"
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def _files_with(marker: str) -> set[str]:
    """The files of tests that use a marker, as node ids begin."""
    folder = Path(__file__).parent
    files = (path for path in folder.rglob("test_*.py") if f"pytest.mark.{marker}" in path.read_text(encoding="utf-8"))
    return {path.relative_to(folder.parent).as_posix() for path in files}


SLOW = _files_with("slow")
ALONE = _files_with("alone") - SLOW
PORTS = range(10_000, 32_000)
"""Below the range that the kernel uses for outgoing connections, so that a port meant to be closed stays closed."""


def free_port() -> int:
    """A port that nobody listens on now. Processes of the same run draw from different ports."""
    own = PORTS[int(WORKER.removeprefix("gw") or 0) :: WORKERS]
    while True:
        port = random.SystemRandom().choice(own)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    """A throw-away PostgreSQL 16, as its superuser."""
    with throw_away_postgres(tmp_path_factory.mktemp("postgres"), free_port()) as endpoint:
        yield endpoint


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(run_summary)


@pytest.fixture(scope="session")
def citus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    """A throw-away PostgreSQL whose database `postgres` has Citus, with one node that holds all shards."""
    bindir, folder = citus_bindir(), tmp_path_factory.mktemp("citus")
    with throw_away_postgres(folder, free_port(), bindir, "shared_preload_libraries=citus") as endpoint:
        sql.execute(endpoint, "CREATE EXTENSION citus")
        yield endpoint


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="without the tests that boot something, and the long ones")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Install system packages and the renderer once, before several processes would each install them."""
    LOCK.parent.mkdir(exist_ok=True)
    if session.config.getoption("--quick"):
        booting.forbid()
    elif session.config.getoption("numprocesses", None):
        try:
            programs.find(None, lambda line: None, pooler=True)
            install_renderer(lambda line: None)
        except AcceptError as error:  # the tests that need them are skipped
            session.config.stash[run_summary.NOT_INSTALLED] = str(error)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need a cluster. With several processes the slow ones start first, and `alone` comes last."""
    for item in items:
        if booting.is_booted_for(item):
            item.add_marker("cluster")
    if config.getoption("--quick"):
        quick = [item for item in items if not _is(item, "cluster") and not _is(item, "long")]
        config.hook.pytest_deselected(items=[*{*items} - {*quick}])
        items[:] = quick
    if WORKER:
        items.sort(key=lambda item: (_file(item) in ALONE, _file(item) not in SLOW, not _is(item, "cluster")))


class FileByFile(LoadFileScheduling):
    """The tests of a file run in one process, and share its fixtures.

    The files with slow tests count as two: more of their large clusters at once would starve one another. Those with
    tests marked `alone` count as one, which comes last: earlier, such a test would wait long until no other test runs.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if file in SLOW:
            return f"slow {sorted(SLOW).index(file) % 2}"
        return "alone" if file in ALONE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileByFile:
    return FileByFile(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """While a test marked `alone` runs, no other test runs in any process of this checkout.

    Each begins with the same umask: some of Patroni's modules set it when they are imported.
    """
    os.umask(UMASK)
    with LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if _is(item, "alone") else fcntl.LOCK_SH)
        try:
            return (yield)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # by name: a forked child may have inherited the file


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _is(item: pytest.Item, marker: str) -> bool:
    return item.get_closest_marker(marker) is not None


_DATABASES = count()


@pytest.fixture
def empty(postgres: sql.Endpoint) -> sql.Endpoint:
    """A database of its own, with the vector extension and nothing else."""
    name = f"empty_{next(_DATABASES)}"
    sql.execute(postgres, f"CREATE DATABASE {name}")
    there = dataclasses.replace(postgres, database=name)
    sql.execute(there, "CREATE EXTENSION vector")
    return there


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting, and no variable or file of libpq's."""
    for name in {*libpq.VARIABLES, libpq.SET_APART, libpq.URL, *(name.upper() for name in Settings.model_fields)}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
