"""A worker: its clients append to the master's ledger, and it sends the outcome of each operation to the master.

A program. It reads JSON from standard input: the endpoint and the master's address. If it cannot take part, it prints
the reason in one line and exits with 3.
"""

import itertools
import json
import logging
import random
import sys
from typing import Any

import gevent
import psycopg2
from gevent.event import Event
from gevent.socket import wait_read, wait_write
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import WorkerRunner
from psycopg2.extensions import POLL_OK, POLL_READ, set_wait_callback

from support import sql
from support.engine import ledger
from support.engine.history import History, Operation, Outcome
from support.engine.workload import Client, Script, Turn
from support.errors import AcceptError
from support.load import plan as agreed
from support.load.histories import line_of
from support.load.plan import LoadPlan
from support.timeouts import STATEMENT
from support.waiting import describe

_SEND = 0.5  # seconds between two parts of the history
_ANSWERS = 20.0  # seconds that the master has to answer
_RETRY = 0.05  # seconds before a client tries again after a failure


class Outbox(History):
    """What was not sent yet."""

    def take(self) -> list[Operation]:
        """Empty it."""
        with self._lock:
            taken, self._operations = self._operations, []
        return taken


class SharedState:
    """What the clients of this process share."""

    def __init__(self, endpoint: sql.Endpoint) -> None:
        self.endpoint, self.history = endpoint, Outbox()
        self.answered, self.begun, self.over = Event(), Event(), Event()
        self.plan: LoadPlan | None = None
        self.refused = ""
        self.errors: list[str] = []
        self._numbers = itertools.count()
        self._first = 0

    def begin(self, plan: LoadPlan, worker: int) -> None:
        """Let the clients begin. `worker` is the number that the master gave to this worker."""
        self.plan, self.endpoint = plan, plan.of_target(self.endpoint)
        self._first = worker * agreed.CLIENTS_EACH
        self.answered.set()

    def refuse(self, why: str) -> None:
        """The master does not let this worker take part."""
        self.refused = why
        self.answered.set()

    def client(self) -> tuple[Client, Script, random.Random]:
        """The next client, its script, and its random numbers. Waits for the plan."""
        self.answered.wait()
        if self.plan is None:
            raise StopUser
        self.begun.set()
        number = self._first + next(self._numbers)
        client = Client(number, self.endpoint, self.history, self.plan.patience)
        return (
            client,
            ledger.appends(self.plan.profile, self.plan.namespace),
            random.Random(f"{self.plan.seed}/{number}"),
        )


class Appender(User):
    """A client that appends to the ledger."""

    share: SharedState
    client: Client | None = None

    def on_start(self) -> None:
        self.client, self.script, self.random = self.share.client()
        self.numbers = itertools.count()
        self.client.open()

    @task
    def append(self) -> None:
        if self.client is None or self.share.over.is_set():
            raise StopUser
        turn = Turn(self.client.number, next(self.numbers), self.random)
        if (todo := self.script(turn)) is None:
            raise StopUser
        if self.client.perform(todo).outcome is not Outcome.OK:
            self.share.over.wait(_RETRY)

    def on_stop(self) -> None:
        if self.client is not None:
            self.client.close()


def wait_cooperatively(patience: float) -> None:
    """Let psycopg2 wait for the database without blocking the other greenlets, for at most this many seconds.

    After that the session is closed with an OperationalError without a code, as if the connection was lost: the outcome
    of the operation is unknown. (libpq itself does not limit logins or answers of sessions that are polled.) Compared
    with gevent's thread pool, an operation needs no switch between threads.
    """

    def wait(session: sql.Session) -> None:
        while (state := session.poll()) != POLL_OK:
            late = psycopg2.OperationalError(f"no answer within {patience:g} s; connection closed")
            (wait_read if state == POLL_READ else wait_write)(session.fileno(), timeout=patience, timeout_exc=late)

    set_wait_callback(wait)


def work(runner: WorkerRunner, share: SharedState) -> None:
    """Wait for the plan, let the clients write for as long as it says, and send their history."""
    if not share.answered.wait(_ANSWERS):
        raise AcceptError(f"the master did not answer within {_ANSWERS:g} s")
    if share.plan is None:
        raise AcceptError(f"this worker cannot take part: {share.refused}")
    sender = gevent.spawn(_send, runner, share)
    while not (share.begun.wait(_SEND) or share.over.is_set()):
        if not len(runner.greenlet):
            raise AcceptError("the master is gone; nothing was written")
    share.over.wait(share.plan.seconds)  # the master ends the load; if it is gone, its time limit does
    share.over.set()
    runner.user_greenlets.join(timeout=2 * share.plan.patience)
    if runner.user_count:
        share.errors.append(f"{runner.user_count} clients did not end")
    sent = sender.get()
    runner.send_message(agreed.END, {"operations": sent, "errors": share.errors})


def _send(runner: WorkerRunner, share: SharedState) -> int:
    """Send the history in parts until all clients have ended. Returns the number of operations."""
    sent, last = 0, False
    while not last:
        share.over.wait(_SEND)
        last = share.over.is_set() and not runner.user_count
        part = share.history.take()
        if part:
            runner.send_message(agreed.PART, {"lines": "".join(map(line_of, part))})
        sent += len(part)
        if share.over.is_set():
            runner.user_greenlets.join(timeout=_RETRY)
    return sent


def _listen(runner: WorkerRunner, share: SharedState) -> None:
    def on_plan(environment: Environment, msg: Any) -> None:
        plan = LoadPlan(**msg.data)
        try:
            marked = plan.marked(plan.of_target(share.endpoint))
        except AcceptError as error:
            share.refuse(str(error))
            return
        if not marked:
            share.refuse(f"{share.endpoint} is not the master's target: the master's mark is missing")
            return
        share.begin(plan, runner.worker_index)
        runner.send_message(agreed.READY)

    # in a greenlet of its own: a query must not delay heartbeats
    runner.register_message(agreed.PLAN, on_plan, concurrent=True)
    runner.register_message(agreed.REFUSED, lambda environment, msg: share.refuse(msg.data["why"]))
    runner.register_message(agreed.HALT, lambda environment, msg: share.over.set())
    runner.environment.events.user_error.add_listener(
        lambda user_instance, exception, tb: share.errors.append(describe(exception))
    )


def main() -> int:
    """Run the program, and return its exit status."""
    given = json.load(sys.stdin)
    logging.disable(logging.WARNING)
    wait_cooperatively(STATEMENT + agreed.GRACE)
    share = Appender.share = SharedState(sql.Endpoint(**given["endpoint"]))
    environment = Environment(user_classes=[Appender], catch_exceptions=False, stop_timeout=2 * STATEMENT)
    runner = environment.create_worker_runner(given["host"], given["port"])
    _listen(runner, share)
    runner.send_message(agreed.HELLO, {"version": agreed.version()})
    try:
        work(runner, share)
    except AcceptError as error:
        environment.events.quitting.fire(environment=environment)
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    runner.greenlet.join()  # ends when the master quits or is lost
    return 0


if __name__ == "__main__":
    sys.exit(main())
