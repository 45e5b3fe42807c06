"""The master: gives workers the plan, starts the clients, and collects the workers' histories.

A program. It reads JSON from standard input: the plan, the address to listen on, the number of clients, the number of
workers to wait for and for how long, and the folder for the histories. SIGINT ends the load early. Each worker's
history is written to a file as it arrives; in the end `workers.json` tells which histories are complete.
"""

import json
import logging
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner

from support.errors import NothingJudged
from support.load import plan as agreed
from support.load.histories import WORKERS, WorkerHistory
from support.load.plan import LoadPlan
from support.load.worker import Appender

_PAUSE = 0.1  # seconds between two looks at the workers
_HEARTBEATS = 5.0  # seconds after the load in which a silent worker may still send a heartbeat


class Master:
    """The master of one load."""

    def __init__(self, runner: MasterRunner, plan: LoadPlan, folder: Path) -> None:
        self.halted = Event()
        self._runner, self._plan, self._folder = runner, plan, folder
        self._histories: dict[str, WorkerHistory] = {}
        self._began: float | None = None
        self._worker_ended = Event()
        runner.register_message(agreed.HELLO, self._greet)
        runner.register_message(agreed.READY, self._accept)
        runner.register_message(agreed.PART, self._keep)
        runner.register_message(agreed.END, self._end)

    def await_workers(self, number: int, within: float) -> None:
        """Raises NothingJudged if fewer workers join."""
        deadline = time.monotonic() + within
        while len(self._histories) < number and not self.halted.wait(_PAUSE):
            if time.monotonic() > deadline:
                raise NothingJudged(
                    f"{len(self._histories)} of {number} workers joined within {within:g} s; nothing was written"
                )

    def load(self, clients: int) -> None:
        """Let the clients write until their time is over or a signal ends the load."""
        if self.halted.is_set():
            return
        self._began = time.monotonic()
        gevent.spawn(self._runner.start, clients, clients)
        self.halted.wait(self._plan.seconds)
        self._runner.send_message(agreed.HALT)

    def collect(self) -> None:
        """Wait for the rest of the histories, for at most as long as an operation without an answer can take."""
        over = time.monotonic()
        while self._is_waiting(time.monotonic() - over):
            self._worker_ended.wait(_PAUSE)
            self._worker_ended.clear()
        found = [asdict(history) for history in self._histories.values()]
        (self._folder / WORKERS).write_text(json.dumps(found), encoding="utf-8")

    def _is_waiting(self, since: float) -> bool:
        missing = {one.id for one in self._runner.clients.all if one.state == STATE_MISSING}
        unfinished = {name for name, history in self._histories.items() if not history.ended}
        if self._began is None or since > 2 * self._plan.patience + _HEARTBEATS:
            return False
        return bool(unfinished - missing if since > _HEARTBEATS else unfinished)

    def _greet(self, environment: Environment, msg: Any) -> None:
        if msg.data["version"] != agreed.version():
            why = f"its version ({msg.data['version']}) is not that of the master ({agreed.version()})"
            self._runner.send_message(agreed.REFUSED, {"why": why}, msg.node_id)
            return
        left = self._plan.seconds - (time.monotonic() - self._began if self._began else 0)
        if left <= 0:
            self._runner.send_message(agreed.REFUSED, {"why": "the load is over"}, msg.node_id)
            return
        self._runner.send_message(agreed.PLAN, asdict(replace(self._plan, seconds=left)), msg.node_id)

    def _accept(self, environment: Environment, msg: Any) -> None:
        number = self._runner.get_worker_index(msg.node_id)
        self._histories[msg.node_id] = WorkerHistory(number, msg.node_id.rpartition("_")[0])

    def _keep(self, environment: Environment, msg: Any) -> None:
        history, lines = self._histories[msg.node_id], msg.data["lines"]
        with (self._folder / history.file).open("a", encoding="utf-8") as file:
            file.write(lines)
        self._histories[msg.node_id] = replace(history, received=history.received + lines.count("\n"))

    def _end(self, environment: Environment, msg: Any) -> None:
        history, sent, errors = self._histories[msg.node_id], msg.data["operations"], tuple(msg.data["errors"])
        self._histories[msg.node_id] = replace(history, ended=True, sent=sent, errors=errors)
        self._worker_ended.set()


def main() -> int:
    """Run the program, and return its exit status."""
    given = json.load(sys.stdin)
    logging.disable(logging.WARNING)
    environment = Environment(user_classes=[Appender], stop_timeout=2 * given["plan"]["patience"])
    runner = environment.create_master_runner(given["host"], given["port"])
    master = Master(runner, LoadPlan(**given["plan"]), Path(given["folder"]))
    gevent.signal_handler(signal.SIGINT, master.halted.set)
    try:
        master.await_workers(given["workers"], given["joining"])
        master.load(given["clients"])
        master.collect()
    except NothingJudged as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    finally:
        runner.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
