"""Hanging up on servers that do not answer: statements and commits end, whatever became of the backend.

The server's own statement_timeout ends what the server can interrupt. A backend that is frozen, waits for a disk that
is gone, or for a lock that only itself could release ends nothing, and answers nobody: then the client is to hang up.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg2
import psycopg2.extensions

_LOOK = 0.5  # seconds between two looks at who is late


@dataclass
class _Wait:
    """One call that waits for a server. `hung_up` is set when its time was over."""

    session: psycopg2.extensions.connection
    until: float
    hung_up: bool = False


class _Watch:
    """Looks, in a thread of its own that the first wait starts, which waits are late, and hangs up."""

    def __init__(self) -> None:
        self._process, self._waits = 0, dict[int, _Wait]()

    def begin(self, wait: _Wait) -> None:
        if self._process != os.getpid():  # threads are not there after a fork
            self._process = os.getpid()
            self._waits.clear()
            threading.Thread(target=self._look, name="deadlines", daemon=True).start()
        self._waits[id(wait)] = wait

    def end(self, wait: _Wait) -> None:
        self._waits.pop(id(wait), None)

    def _look(self) -> None:
        idle = threading.Event()
        while not idle.wait(_LOOK):
            for wait in list(self._waits.values()):
                if time.monotonic() > wait.until and not wait.hung_up:
                    wait.hung_up = True
                    _hang_up(wait.session)


def _hang_up(session: psycopg2.extensions.connection) -> None:
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(session.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


_WATCH = _Watch()


@contextmanager
def answer_within(session: psycopg2.extensions.connection, seconds: float) -> Iterator[None]:
    """Hang up on the session when what is done in here takes longer.

    Raises psycopg2.OperationalError without a code then, as a lost connection does: what became of it is unknown.
    """
    backend = session.info.backend_pid
    wait = _Wait(session, time.monotonic() + seconds)
    _WATCH.begin(wait)
    try:
        yield
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        if wait.hung_up:
            raise psycopg2.OperationalError(
                f"the server gave no answer within {seconds:g} s; hung up "
                f"(pg_stat_activity tells what its backend {backend} waits for, if it still does)"
            ) from error
        raise
    finally:
        _WATCH.end(wait)
