"""Deadlines for answers: if a server does not answer in time, the connection is closed.

A statement_timeout ends only what the server can interrupt. It does not end a backend that is frozen, or that waits
for a lost disk or for a lock that only it could release; nor does it end a commit that waits for a standby.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg2
import psycopg2.extensions

_LOOK = 0.5  # seconds between two checks for overdue answers


@dataclass
class _Wait:
    """One call that waits for a server. `hung_up`: its time was up, and the connection was closed."""

    session: psycopg2.extensions.connection
    until: float
    cancel_at: float = math.inf
    cancelled: bool = False
    hung_up: bool = False


class _Watch:
    """Closes the connections of overdue waits, in a thread that the first wait starts."""

    def __init__(self) -> None:
        self._process, self._waits = 0, dict[int, _Wait]()

    def begin(self, wait: _Wait) -> None:
        if self._process != os.getpid():  # threads do not survive a fork
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
                elif time.monotonic() > wait.cancel_at and not wait.cancelled:
                    wait.cancelled = True  # over a separate connection, which may have to wait as well
                    threading.Thread(target=_cancel, args=[wait.session], daemon=True).start()


def _hang_up(session: psycopg2.extensions.connection) -> None:
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(session.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def _cancel(session: psycopg2.extensions.connection) -> None:
    with suppress(psycopg2.Error):
        session.cancel()


_WATCH = _Watch()


@contextmanager
def answer_within(session: psycopg2.extensions.connection, seconds: float, cancel: float = math.inf) -> Iterator[None]:
    """Close the session's connection if the body takes longer. After `cancel` seconds, ask the server to cancel it.

    The body then raises psycopg2.OperationalError without a code, like any lost connection: the outcome is unknown.
    """
    known = session.info.backend_pid if getattr(session, "own_backend", False) else 0  # a pooler's number means nothing
    wait = _Wait(session, time.monotonic() + seconds, time.monotonic() + cancel)
    _WATCH.begin(wait)
    try:
        yield
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        if wait.hung_up:
            where = f" (pg_stat_activity shows what its backend {known} waits for, if it still waits)" if known else ""
            raise psycopg2.OperationalError(
                f"the server gave no answer within {seconds:g} s; connection closed{where}"
            ) from error
        raise
    finally:
        _WATCH.end(wait)
