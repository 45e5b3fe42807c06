"""One worker: clients that append to the master's ledger, and what came of each operation, sent to the master.

A program. Standard input: the endpoint and the master's address, as JSON. Ends with 3 when it could not take part,
with one line that says why.
"""

import itertools
import json
import logging
import random
import sys
from typing import Any

import gevent
from gevent.event import Event
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import WorkerRunner

from support import sql
from support.engine import ledger
from support.engine.history import History, Outcome
from support.engine.workload import Client, Script, Turn
from support.errors import AcceptError
from support.load import plan as agreed
from support.load.cooperation import cooperate
from support.load.plan import Plan
from support.timeouts import STATEMENT
from support.waiting import describe

_SEND = 0.5  # seconds between two parts of the history
_ANSWERS = 20.0  # seconds that the master has to answer a greeting
_RETRY = 0.05  # seconds before a client that was refused tries again


class Share:
    """What the clients of this process have in common."""

    def __init__(self, endpoint: sql.Endpoint) -> None:
        self.endpoint, self.history = endpoint, History()
        self.told, self.begun, self.over = Event(), Event(), Event()
        self.plan: Plan | None = None
        self.refused = ""
        self.errors: list[str] = []
        self._numbers = itertools.count()
        self._first = 0

    def begin(self, plan: Plan, worker: int) -> None:
        """From now on clients can begin; `worker` is the number that the master gave to this worker."""
        self.plan, self.endpoint = plan, plan.of_target(self.endpoint)
        self._first = worker * agreed.CLIENTS_EACH
        self.told.set()

    def refuse(self, why: str) -> None:
        """This worker takes no part."""
        self.refused = why
        self.told.set()

    def client(self) -> tuple[Client, Script, random.Random]:
        """The next client, what it does, and its chance."""
        self.told.wait()
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
    """One client of the ledger."""

    share: Share
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


def work(runner: WorkerRunner, share: Share) -> None:
    """Greet the master, let the clients write for as long as it says, and send their history."""
    if not share.told.wait(_ANSWERS):
        raise AcceptError(f"the master did not answer within {_ANSWERS:g} s")
    if share.plan is None:
        raise AcceptError(f"this worker takes no part: {share.refused}")
    sender = gevent.spawn(_send, runner, share)
    while not (share.begun.wait(_SEND) or share.over.is_set()):
        if not len(runner.greenlet):
            raise AcceptError("the master is gone; nothing was written")
    share.over.wait(share.plan.seconds)  # the master says when, and ends it here where it cannot
    share.over.set()
    runner.user_greenlets.join(timeout=2 * share.plan.patience)
    if runner.user_count:
        share.errors.append(f"{runner.user_count} clients did not end")
    sent = sender.get()
    runner.send_message(agreed.END, {"operations": sent, "errors": share.errors})


def _send(runner: WorkerRunner, share: Share) -> int:
    """Send the history, part by part, until all clients have ended; how many operations there were."""
    sent, last = 0, False
    while not last:
        share.over.wait(_SEND)
        last = share.over.is_set() and not runner.user_count
        part = share.history.since(sent)
        if len(part):
            runner.send_message(agreed.PART, {"lines": part.lines})
        sent += len(part)
        if share.over.is_set():
            runner.user_greenlets.join(timeout=_RETRY)
    return sent


def _listen(runner: WorkerRunner, share: Share) -> None:
    def on_plan(environment: Environment, msg: Any) -> None:
        plan = Plan(**msg.data)
        try:
            marked = plan.marked(plan.of_target(share.endpoint))
        except AcceptError as error:
            share.refuse(str(error))
            return
        if not marked:
            share.refuse(f"{share.endpoint} is not the target of the master: its mark is not there")
            return
        share.begin(plan, runner.worker_index)
        runner.send_message(agreed.READY)

    # each in a greenlet of its own: a look into the database must not keep heartbeats waiting
    runner.register_message(agreed.PLAN, on_plan, concurrent=True)
    runner.register_message(agreed.REFUSED, lambda environment, msg: share.refuse(msg.data["why"]))
    runner.register_message(agreed.HALT, lambda environment, msg: share.over.set())
    runner.environment.events.user_error.add_listener(
        lambda user_instance, exception, tb: share.errors.append(describe(exception))
    )


def main() -> int:
    """The program."""
    told = json.load(sys.stdin)
    logging.disable(logging.WARNING)
    cooperate(STATEMENT + agreed.GRACE)
    share = Appender.share = Share(sql.Endpoint(**told["endpoint"]))
    environment = Environment(user_classes=[Appender], catch_exceptions=False, stop_timeout=2 * STATEMENT)
    runner = environment.create_worker_runner(told["host"], told["port"])
    _listen(runner, share)
    runner.send_message(agreed.HELLO, {"version": agreed.version()})
    try:
        work(runner, share)
    except AcceptError as error:
        environment.events.quitting.fire(environment=environment)
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    runner.greenlet.join()  # the master says when; it, or the loss of it, ends this
    return 0


if __name__ == "__main__":
    sys.exit(main())
