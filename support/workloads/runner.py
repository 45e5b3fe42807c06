"""Seeded clients that work in threads of their own while something happens to the cluster."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from types import TracebackType

from support import sql
from support.errors import AcceptError
from support.history import History, Operation, Outcome
from support.timeouts import STATEMENT
from support.waiting import NotYet, eventually
from support.workloads.client import Client, Task

_RETRY = 0.05  # seconds before a client that was refused tries again
_WATCH = 0.2  # seconds between two looks for operations that hang


_SCRIPT_ENDS = 30.0  # seconds that a script with an end is given
_OPERATION_ENDS = 10.0  # seconds that an operation of such a script is given


@dataclass(frozen=True)
class Turn:
    """Whose operation is next: the client's number and the operation's, both from 0, and the client's own chance."""

    client: int
    number: int
    random: Random


Script = Callable[[Turn], Task | None]
"""What a client does in its turn; None when it has nothing left to do."""


class Workload:
    """Clients that follow a script until it ends or they are stopped; each operation is in the history.

    All of them log in before the first one begins, and none goes on to a second operation before all have tried
    their first: so they do work at the same time, however slow the machine. What the database answers is an
    outcome; any other error stops all clients, and is raised by `stop` (and so at the end of a `with`).
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
        """`pace` is the pause between two operations of a client, `patience` the longest that one may take (seconds).

        Several workloads may share a history.
        """
        self.history = History() if history is None else history
        self._name = f"{clients} clients of {endpoint.name}"
        self._script, self._seed, self._pace, self._patience = script, seed, pace, patience
        self._clients = [Client(number, endpoint, self.history, patience) for number in range(clients)]
        self._threads = [threading.Thread(target=self._serve, args=[one], daemon=True) for one in self._clients]
        self._together = threading.Barrier(clients + 1)
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._errors: list[BaseException] = []

    @property
    def running(self) -> bool:
        """Whether any client still works."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def acknowledged(self) -> int:
        """How many operations have ended well until now."""
        return sum(client.acknowledged for client in self._clients)

    def start(self) -> None:
        """Returns when every client has tried its first operation."""
        threading.Thread(target=self._watch, daemon=True).start()
        for thread in self._threads:
            thread.start()
        try:
            self._together.wait()  # for the logins
            self._together.wait()  # for the first operations
        except threading.BrokenBarrierError:
            self.stop()

    def stop(self) -> None:
        """Let each client end the operation that it is in. Raises the first error that was not an outcome."""
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(2 * self._patience + 5)
        self._ended.set()
        errors, self._errors = self._errors, []
        if errors:
            raise errors[0]
        if self.running:
            raise AcceptError(f"{self._name}: some did not end within twice their patience ({self._patience:g} s)")

    def await_end(self, within: float) -> None:
        """Wait until every client has come to the end of the script. Raises NotInTime, or what went wrong."""

        def ended() -> None:
            if self.running:
                raise NotYet(f"{self.acknowledged} operations are acknowledged")

        eventually(ended, within=within, subject=f"{self._name} come to the end of their script", pause=0.05)
        self.stop()

    def await_acknowledged(self, more: int, within: float) -> None:
        """Wait until that many further operations are acknowledged: proof that clients get through now."""
        before = self.acknowledged

        def got_through() -> None:
            if self.acknowledged - before < more:
                raise NotYet(f"{self.acknowledged - before} were acknowledged")

        eventually(got_through, within=within, subject=f"{more} more operations of {self._name} are acknowledged")

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
            error.add_note(f"besides, {self._name} met {own!r}")

    def _serve(self, client: Client) -> None:
        try:
            client.open()
            self._together.wait()
            self._follow_script(client)
        except BaseException as error:  # raised by stop()
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
        """One operation after the other, with a pause after each, to the end of the script."""
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
                yield operation
                done = acknowledged or not task.retried

    def _watch(self) -> None:
        while not self._ended.wait(_WATCH):
            for client in self._clients:
                client.hang_up_when_late()


def run_to_end(endpoint: sql.Endpoint, script: Script, clients: int) -> History:
    """What came of it when so many clients at a time followed a script to its end."""
    with Workload(endpoint, script, clients=clients, patience=_OPERATION_ENDS) as workload:
        workload.await_end(_SCRIPT_ENDS)
    return workload.history
