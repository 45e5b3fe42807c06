"""Clients that work on the database while something happens to it, and record the outcome of every operation.

A `Client` performs one `Task` after another on its session. A `Workload` runs many clients at the same time, each in a
thread of its own, by a seeded `Script`. `record` is for a single client that a step runs itself.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from random import Random
from types import TracebackType
from typing import Any

from psycopg2 import errorcodes

from support import sql
from support.engine.history import History, InFlight, Operation, Outcome
from support.engine.notices import Notices, notices_of
from support.errors import AcceptError, ConnectFailed, NotInTime, NotTried
from support.timeouts import STATEMENT
from support.vocabulary import counted
from support.waiting import NotYet, describe, eventually, precondition

_ABORTS = frozenset("0A 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 42 44 53 54 55 72 HV P0".split())
"""Classes of SQLSTATE with which a server says that it has rolled a transaction back.

Not among them: 08, which poolers use when a server connection dies under a client (PgBouncer: 08P01); 57, for
statements that are ended from outside, even a commit that waits for a standby; 58 and XX, system and internal errors,
with which Citus reports that it does not know the outcome of a commit on a worker.
Source: https://www.postgresql.org/docs/16/errcodes-appendix.html
"""


def outcome_of(error: BaseException, *, committing: bool) -> Outcome:
    """What an error means for the transaction that met it.

    Before the commit was sent, any error means "fail": the transaction did not happen. After the commit (or an
    autocommitted statement) was sent, only an error that is known to be an abort means "fail". Any other error means
    "unknown": the answer was lost, the write not necessarily.
    """
    if isinstance(error, ConnectFailed) or not committing:
        return Outcome.FAIL
    code = _code_of(error)
    aborted = code[:2] in _ABORTS and code != errorcodes.STATEMENT_COMPLETION_UNKNOWN
    return Outcome.FAIL if aborted else Outcome.UNKNOWN


_SESSION_IS_SOUND = ("23", "40")
"""Classes of errors (a constraint, a conflict) after which the session can still be used."""
_GRACE = 1.0  # seconds for the server to report a timeout itself before the client hangs up


@dataclass(frozen=True)
class Task:
    """One operation for a client to try."""

    action: str
    key: str
    value: Any
    perform: Callable[[sql.Session], Any]
    """Its SQL. What this returns, if anything, is recorded instead of `value`."""
    transaction: bool = False
    """Whether `perform` needs a commit afterwards. Otherwise it is a single statement that commits by itself."""
    retried: bool = False
    """Whether the client repeats it until it is acknowledged. Each attempt is in the history."""
    by_pool: Callable[[], Any] | None = None
    """Called instead of `perform`: the application's pool executes and commits the operation on one of its sessions."""


class Client:
    """Performs one task after another. Its session is replaced when it can no longer be used."""

    def __init__(self, number: int, endpoint: sql.Endpoint, history: History, patience: float) -> None:
        self.number, self.acknowledged = number, 0
        self.acknowledged_at = -math.inf
        """When the last of its operations was acknowledged; seconds on the monotonic clock."""
        self._endpoint, self._history, self._patience = endpoint, history, patience
        self._session: sql.Session | None = None
        self._notices = Notices()
        self._swapping = threading.Lock()
        self._begun: float | None = None
        self._task: Task | None = None

    @property
    def in_flight(self) -> InFlight | None:
        """The operation that has begun and not ended."""
        begun, task = self._begun, self._task
        return None if begun is None or task is None else InFlight(self.number, task.action, task.key, begun)

    def open(self) -> None:
        """Log in before the first task. A failure is ignored here: the task will meet it and record it."""
        with suppress(ConnectFailed):
            self._login()

    def perform(self, task: Task) -> Operation:
        """Try the task once and record its outcome. Raises errors that do not come from the database."""
        self._task = task
        begun = self._begun = time.monotonic()
        committing, value = False, None
        outcome, said, code, tried = Outcome.OK, "", "", True
        try:
            if task.by_pool is not None:
                committing = True
                value = task.by_pool()
            else:
                session = self._session or self._login()
                self._notices.clear()
                session.autocommit = committing = not task.transaction
                value = task.perform(session)
                if task.transaction:
                    committing = True
                    session.commit()
                outcome, said = _committed(self._notices)
        except (sql.Error, ConnectFailed) as error:
            outcome, said = outcome_of(error, committing=committing), describe(error)
            code, tried = _code_of(error), not isinstance(error, NotTried)
            self._recover_from(error)
        except BaseException:
            self._begun = None
            raise
        recorded = task.value if value is None else value
        ended = time.monotonic()
        operation = Operation(self.number, task.action, task.key, recorded, outcome, begun, ended, said, code, tried)
        self._history.append(operation)
        self._begun = None  # only now: at any time it is in flight, or in the history
        if outcome is Outcome.OK:
            self.acknowledged += 1
            self.acknowledged_at = operation.ended
        return operation

    def hang_up_when_late(self) -> None:
        """Cut the session if its operation takes longer than the client's patience: a frozen server would never end it.

        Called by another thread. The operation then ends with a lost connection, so its outcome is unknown.
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
        session = sql.connect(
            self._endpoint,
            connect_timeout=self._patience,
            statement_timeout=self._patience,
            usable_within=self._patience + _GRACE,
        )
        with self._swapping:
            self._session, self._notices = session, notices_of(session)
        return session

    def _recover_from(self, error: Exception) -> None:
        code = _code_of(error)
        try:
            if self._session is not None and code.startswith(_SESSION_IS_SOUND):
                self._session.rollback()
                return
        except sql.Error:
            pass  # it cannot be used after all
        self.close()


AT_READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
"""The first statement of a transaction that must not fail because of a conflict, whatever the default isolation level
of its role or database."""


def _code_of(error: BaseException) -> str:
    return (error.pgcode if isinstance(error, sql.Error) else None) or ""


def _committed(notices: Notices) -> tuple[Outcome, str]:
    """The outcome of an acknowledged commit: unknown if the server warned that it may not be on a standby."""
    doubts = [str(notice) for notice in notices if notice.doubts_replication]
    return (Outcome.UNKNOWN, doubts[0]) if doubts else (Outcome.OK, "")


_RETRY = 0.05  # seconds before a client repeats an operation that failed
EASED = 0.05  # seconds that an eased client rests after an operation: short next to any interruption worth a limit
_SEVERAL = 10  # acknowledgements of one client that show that it is at work
_WATCH = 0.2  # seconds between two checks for operations that hang
_SCRIPT_ENDS = 30.0  # seconds in which at least one operation of a script that comes to an end must end
_OPERATION_ENDS = 10.0  # seconds allowed for one operation of such a script


@dataclass(frozen=True)
class Turn:
    """The next operation: numbers of client and operation, both from 0, and the client's own random numbers."""

    client: int
    number: int
    random: Random


Script = Callable[[Turn], Task | None]
"""Returns the next task of a client; None at the end of the script."""


class Workload:
    """Clients that follow a script until it ends or they are stopped. Each operation is in the history.

    All clients log in before the first one begins, and none tries a second operation before all have tried their
    first. So they work at the same time even on a slow machine. An error of the database is an outcome. Any other
    error stops all clients, and is raised by `stop`, which the end of a `with` block calls.
    """

    def __init__(
        self,
        endpoint: sql.Endpoint,
        script: Script,
        *,
        clients: int,
        seed: int = 0,
        pace: float = 0.0,
        patience: float = STATEMENT,
        history: History | None = None,
    ) -> None:
        """`pace` is the pause between two operations of a client, `patience` the longest that one may take; in seconds.

        Several workloads may share a history.
        """
        self.history = History() if history is None else history
        self._name = f"{clients} clients of {endpoint.name}"
        self._script, self._seed, self._pace, self._patience = script, seed, pace, patience
        self._clients = [Client(number, endpoint, self.history, patience) for number in range(clients)]
        self._threads = [threading.Thread(target=self._serve, args=[one], daemon=True) for one in self._clients]
        self._together = threading.Barrier(clients + 1)
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._at_full_speed = threading.Event()
        self._at_full_speed.set()
        self._stopped_at: float | None = None
        self._errors: list[BaseException] = []

    @property
    def running(self) -> bool:
        """Whether any client is still working."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def acknowledged(self) -> int:
        """How many operations have been acknowledged so far."""
        return sum(client.acknowledged for client in self._clients)

    @property
    def silent_for(self) -> float:
        """Seconds since the last acknowledgement."""
        return time.monotonic() - max(client.acknowledged_at for client in self._clients)

    @property
    def stopped_at(self) -> float:
        """When the clients were told to stop; now, if they were not."""
        return time.monotonic() if self._stopped_at is None else self._stopped_at

    @property
    def size(self) -> int:
        """How many clients there are."""
        return len(self._clients)

    @property
    def in_flight(self) -> list[InFlight]:
        """The operations that have begun and not ended. Ask for them before the history: one may end in between."""
        return [one for client in self._clients if (one := client.in_flight) is not None]

    @property
    def gives_up_after(self) -> float:
        """Seconds after which a client hangs up on a server that gives no answer: then its operation has ended."""
        return self._patience + _GRACE + _WATCH

    def start(self) -> None:
        """Start the clients. Returns when each has tried its first operation."""
        threading.Thread(target=self._watch, daemon=True).start()
        for thread in self._threads:
            thread.start()
        try:
            self._together.wait()  # for the logins
            self._together.wait()  # for the first operations
        except threading.BrokenBarrierError:
            self.stop()

    def ease(self) -> None:
        """From now on, let each client rest for EASED seconds after an operation, unless it has a pace of its own.

        An outage shows just as well, and the processors are left to the cluster, and to others beside it.
        """
        self._at_full_speed.clear()

    def full_speed(self) -> None:
        """Let the clients work without a rest again, at once, so that a fault hits as many operations as possible."""
        self._at_full_speed.set()

    def stop(self) -> None:
        """Stop the clients after their current operation. Raises the first error that is not the database's."""
        self._stopped_at = self.stopped_at
        self._stopping.set()
        self._at_full_speed.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(2 * self._patience + 5)
        self._ended.set()
        errors, self._errors = self._errors, []
        if errors:
            raise errors[0]
        if self.running:
            raise AcceptError(f"{self._name}: some did not stop within twice their timeout ({self._patience:g} s)")

    def await_end(self, within: float) -> None:
        """Wait until every client has reached the end of the script. Raises NotInTime, or what stopped the clients."""

        def ended() -> None:
            if self.running:
                raise NotYet(f"{self.acknowledged} operations are acknowledged")

        eventually(ended, within=within, subject=f"{self._name} reach the end of their script", pause=0.05)
        self.stop()

    def await_at_work(self, acknowledged: int, within: float) -> None:
        """Wait until that many operations are acknowledged, before the test proper.

        If they are not within half of the time, each may take long, as where a commit waits for a host far away: then
        it is enough that each client has _SEVERAL acknowledged in the other half.

        Raises Inconclusive if it takes too long: that clients can work at first is not what the scenario judges.
        """
        before, begun = self.acknowledged, time.monotonic()
        with suppress(NotInTime):
            self.await_acknowledged(acknowledged, within / 2)
            return
        halfway = [client.acknowledged for client in self._clients]

        def at_work() -> None:
            done = self.acknowledged - before
            each = [client.acknowledged - had for client, had in zip(self._clients, halfway, strict=True)]
            if done < acknowledged and min(each) < _SEVERAL:
                raise NotYet(f"{done} were acknowledged; in the second half of the time, {min(each)} of one client")

        with precondition("the clients did not start working"):
            subject = f"{acknowledged} operations of {self._name} are acknowledged, or {_SEVERAL} of each client"
            eventually(at_work, within=within, subject=subject, since=begun)

    def await_acknowledged(self, more: int, within: float) -> None:
        """Wait until `more` further operations are acknowledged, which proves that clients get through now."""
        before = self.acknowledged

        def got_through() -> None:
            if self.acknowledged - before < more:
                raise NotYet(f"{self.acknowledged - before} were acknowledged")

        eventually(got_through, within=within, subject=f"{more} more operations of {self._name} are acknowledged")

    def await_each_acknowledged(self, within: float) -> None:
        """Wait until every client has had another operation acknowledged: then no client hangs or is locked out."""
        since = time.monotonic()

        def each_got_through() -> None:
            if waiting := [client.number for client in self._clients if client.acknowledged_at <= since]:
                raise NotYet(f"{counted(len(waiting), 'client')} had none")

        eventually(each_got_through, within=within, subject=f"each of {self._name} gets an acknowledgement")

    def await_none_begun_before(self, moment: float, within: float) -> None:
        """Wait until every operation that began before that moment has ended. Raises NotInTime if one hangs."""

        def ended() -> None:
            if hanging := [one for one in self.in_flight if one.begun < moment]:
                raise NotYet(f"{len(hanging)} have not")

        eventually(ended, within=within, subject=f"the operations of {self._name} end")

    def __enter__(self) -> "Workload":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except BaseException as own:
            if error is None:
                raise
            error.add_note(f"in addition, {self._name} failed: {own!r}")

    def _serve(self, client: Client) -> None:
        try:
            client.open()
            self._together.wait()
            self._follow_script(client)
        except BaseException as error:  # stop() raises it
            self._errors.append(error)
            self._stopping.set()
            self._together.abort()
        finally:
            client.close()

    def _follow_script(self, client: Client) -> None:
        attempts = self._attempts(client)
        next(attempts, None)
        self._together.wait()
        while not self._stopping.is_set() and next(attempts, None):
            pass

    def _attempts(self, client: Client) -> Iterator[Operation]:
        """The operations of a client until the end of the script, with a pause after each."""
        chance = Random(f"{self._seed}/{client.number}")
        for number in count():
            task = self._script(Turn(client.number, number, chance))
            if task is None:
                return
            done = False
            while not done:
                operation = client.perform(task)
                acknowledged = operation.outcome is Outcome.OK
                if pause := self._pace if acknowledged else max(self._pace, _RETRY):
                    self._stopping.wait(pause)
                else:
                    self._at_full_speed.wait(EASED)
                yield operation
                done = acknowledged or not task.retried

    def _watch(self) -> None:
        while not self._ended.wait(_WATCH):
            for client in self._clients:
                client.hang_up_when_late()


def run_to_end(endpoint: sql.Endpoint, script: Script, clients: int) -> History:
    """Let `clients` clients follow a script to its end, all at the same time; returns the history.

    The script may be long: it is waited for as long as operations end. Each ends when its client's patience does.
    """
    with Workload(endpoint, script, clients=clients, patience=_OPERATION_ENDS) as workload:
        ended = -1
        while workload.running and len(workload.history) > ended:
            ended = len(workload.history)
            with suppress(NotInTime):
                workload.await_end(_SCRIPT_ENDS)
        workload.await_end(0)
    return workload.history


def record(history: History, action: str, key: str, perform: Callable[[], Any]) -> Any:
    """Call `perform`, record its outcome and times, and return its answer; None if there was an error."""
    begun = time.monotonic()
    answer, refused = None, None

    def ask() -> None:
        nonlocal answer
        answer = perform()

    refused = sql.error_of(ask)
    ended = time.monotonic()
    outcome = Outcome.OK if refused is None else outcome_of(refused, committing=True)
    said = "" if refused is None else describe(refused)
    history.append(Operation(0, action, key, answer, outcome, begun, ended, said))
    return answer
