"""One client of a workload: its session, its patience, and the record of what came of each operation."""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from support import sql
from support.errors import ConnectFailed
from support.history import History, Operation, Outcome
from support.waiting import describe

_SESSION_IS_SOUND = ("23", "40")
"""Classes of errors (a constraint, a conflict) after which the session itself is as good as before."""
_NOT_REPLICATED = "might not have been replicated"
"""PostgreSQL's warning when it is told to wait no longer for a standby: it answers as if all were well."""
_GRACE = 1.0  # seconds that the server has to report a timeout by itself, before the client hangs up


@dataclass(frozen=True)
class Task:
    """One operation that a client is about to try."""

    action: str
    key: str
    value: Any
    perform: Callable[[sql.Session], Any]
    """Its SQL. What this returns, if anything, is recorded in the place of `value`."""
    transaction: bool = False
    """Whether `perform` is to be committed after it; else it is one statement that commits by itself."""
    retried: bool = False
    """Whether the client tries it again and again until it is acknowledged; each attempt is in the history."""


class Client:
    """Performs tasks one after the other, on a session that is replaced when it is no longer sound."""

    def __init__(self, number: int, endpoint: sql.Endpoint, history: History, patience: float) -> None:
        self.number, self.acknowledged = number, 0
        self._endpoint, self._history, self._patience = endpoint, history, patience
        self._session: sql.Session | None = None
        self._swapping = threading.Lock()
        self._begun: float | None = None

    def open(self) -> None:
        """Log in ahead of the first task. A failure is not told here: the task will meet it, and record it."""
        with suppress(ConnectFailed):
            self._login()

    def perform(self, task: Task) -> Operation:
        """Try the task once, and record its outcome. Errors that are no answer of the database are raised."""
        begun = self._begun = time.monotonic()
        committing, value = False, None
        outcome, said = Outcome.OK, ""
        try:
            session = self._session or self._login()
            session.notices.clear()
            session.autocommit = committing = not task.transaction
            value = task.perform(session)
            if task.transaction:
                committing = True
                session.commit()
            outcome, said = _committed(session)
            self.acknowledged += outcome is Outcome.OK
        except (sql.Error, ConnectFailed) as error:
            outcome, said = sql.outcome_of(error, committing=committing), describe(error)
            self._recover_from(error)
        finally:
            self._begun = None
        recorded = task.value if value is None else value
        operation = Operation(self.number, task.action, task.key, recorded, outcome, begun, time.monotonic(), said)
        self._history.append(operation)
        return operation

    def hang_up_when_late(self) -> None:
        """Cut the session when its operation outlasts the patience: a frozen server would never end it.

        Called by another thread. The operation then ends with a lost connection, whose outcome is unknown.
        """
        begun = self._begun
        if begun is None or time.monotonic() - begun < self._patience + _GRACE:
            return
        with self._swapping, suppress(OSError, sql.Error):
            if self._session is not None and not self._session.closed:
                with socket.socket(fileno=os.dup(self._session.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._swapping:
            if self._session is not None:
                self._session.close()
            self._session = None

    def _login(self) -> sql.Session:
        session = sql.connect(self._endpoint, connect_timeout=self._patience, statement_timeout=self._patience)
        with self._swapping:
            self._session = session
        return session

    def _recover_from(self, error: Exception) -> None:
        code = (error.pgcode if isinstance(error, sql.Error) else None) or ""
        try:
            if self._session is not None and code.startswith(_SESSION_IS_SOUND):
                self._session.rollback()
                return
        except sql.Error:
            pass  # not so sound after all
        self.close()


def _committed(session: sql.Session) -> tuple[Outcome, str]:
    """What the server's answer to a commit is worth: with a warning that no standby has it, nobody can tell."""
    doubts = [" ".join(notice.split()) for notice in session.notices if _NOT_REPLICATED in notice]
    return (Outcome.UNKNOWN, doubts[0]) if doubts else (Outcome.OK, "")
