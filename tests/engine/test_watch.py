"""The watch of the members against a server that answers, one that nobody runs, and one that gives no answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from conftest import free_port

from support import sql
from support.engine.checks.writers import Coverage, at_most_one_writer
from support.engine.history import Operation, Outcome, WriterSample
from support.engine.watch import Watch, _sample
from support.waiting import pause


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never says a word, as a frozen server does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def forwarder() -> Iterator[int]:
    """A port that hangs up on everybody, as that of a container does whose server is down."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def watched(members: dict[str, sql.Endpoint], seconds: float) -> list[WriterSample]:
    with Watch(members) as watch:
        pause(seconds)
    return watch.samples


def test_who_refuses_the_connection_has_answered_and_who_says_nothing_has_not(
    postgres: sql.Endpoint, silent: int, forwarder: int
) -> None:
    members = {
        "leader": postgres,
        "stopped": replace(postgres, port=free_port()),
        "published": replace(postgres, port=forwarder),
        "frozen": replace(postgres, port=silent),
    }
    samples = watched(members, 1.5)
    seen = {name: {(one.writable, one.closed) for one in samples if one.member == name} for name in members}
    closed = {(None, True)}
    assert seen == {"leader": {(True, False)}, "stopped": closed, "published": closed, "frozen": {(None, False)}}
    begun, ended = min(one.begun for one in samples), max(one.ended for one in samples)
    coverage = Coverage(begun, ended, longest=1)
    assert at_most_one_writer(samples, ["leader", "stopped"], coverage).holds is True
    finding = at_most_one_writer(samples, ["leader", "stopped", "frozen"], coverage)
    assert finding.holds is None
    assert "frozen gave no answer for" in finding.words
    assert "stopped" not in finding.words


@pytest.mark.parametrize("words", ["das Datenbanksystem startet", "система баз данных запускается"])
def test_a_server_that_is_starting_says_so_in_any_language(words: str) -> None:
    error = f"pg1 (h:5432): no login after 0.0 s: connection to server failed: FATAL:  {words}"
    assert _sample(Operation(0, "look", "pg1", None, Outcome.FAIL, 1, 2, error)).closed
    other = error.replace(words, "Passwort-Authentifizierung fehlgeschlagen")
    assert not _sample(Operation(0, "look", "pg1", None, Outcome.FAIL, 1, 2, other)).closed


def at(address: str, why: str) -> str:
    return f'connection to server at "pg1" ({address}), port 5432 failed: {why}'


REFUSED = "Connection refused Is the server running on that host and accepting TCP/IP connections?"
HUNG_UP = "server closed the connection unexpectedly This probably means the server terminated abnormally"


@pytest.mark.parametrize(
    ("tried", "closed"),
    [
        ([at("::1", REFUSED), at("10.0.0.1", "timeout expired")], False),
        ([at("10.0.0.1", "timeout expired"), at("::1", REFUSED)], False),
        ([at("::1", HUNG_UP), at("10.0.0.1", "timeout expired")], False),
        ([at("::1", REFUSED), at("10.0.0.1", HUNG_UP)], True),
        ([at("::1", REFUSED), at("10.0.0.1", "FATAL: the database system is starting up")], True),
        ([at("fd00::1", "Network is unreachable"), at("10.0.0.1", REFUSED)], True),
        ([at("fd00::1", "Network is unreachable"), at("10.0.0.1", "timeout expired")], False),
        ([at("10.0.0.1", "Network is unreachable")], False),
        ([HUNG_UP], True),
    ],
)
def test_a_server_is_closed_if_none_of_its_addresses_lets_anybody_in(tried: list[str], closed: bool) -> None:
    error = f"pg1 (pg1:5432/app as app): no login after 2.0 s: {' '.join(tried)}"
    assert _sample(Operation(0, "look", "pg1", None, Outcome.FAIL, 1, 2, error)).closed is closed


def test_a_server_that_hangs_at_one_address_and_is_not_there_at_another(silent: int, postgres: sql.Endpoint) -> None:
    """PostgreSQL listens at one of two addresses of a name, and gives no answer there."""
    samples = watched({"leader": postgres, "frozen": replace(postgres, host="::1,127.0.0.1", port=silent)}, 2.5)
    assert {one.closed for one in samples if one.member == "frozen"} == {False}
