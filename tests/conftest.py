"""Fixtures that several test modules share."""

import signal
import socket
from collections.abc import Iterator

import pytest
from servers import postgres as throw_away_postgres

from support import sql

# A shell ignores Ctrl-C for what it starts in the background, and so would each program that a test starts from there.
signal.signal(signal.SIGINT, signal.default_int_handler)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    """A throw-away PostgreSQL 16, as its superuser."""
    with throw_away_postgres(tmp_path_factory.mktemp("postgres"), free_port()) as endpoint:
        yield endpoint
