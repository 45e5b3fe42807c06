"""The master: tells workers the plan, starts the clients, and collects the histories of all workers.

A program. Standard input: the plan, the address to listen at, how many clients, how many workers to wait for and how
long, and the folder for the histories, as JSON. SIGINT ends the load early. Each worker's history becomes a file there
as it arrives; `workers.json` tells at the end which of them are whole.
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
from support.load.judging import WORKERS, Part
from support.load.plan import Plan
from support.load.worker import Appender

_LOOK = 0.1  # seconds between two looks at who is there
_HEARTBEATS = 5.0  # seconds after the end of the load in which a worker that is silent may still be heard again


class Master:
    """The master of one load."""

    def __init__(self, runner: MasterRunner, plan: Plan, folder: Path) -> None:
        self.halted = Event()
        self._runner, self._plan, self._folder = runner, plan, folder
        self._parts: dict[str, Part] = {}
        self._began: float | None = None
        self._told = Event()
        runner.register_message(agreed.HELLO, self._greet)
        runner.register_message(agreed.READY, self._accept)
        runner.register_message(agreed.PART, self._keep)
        runner.register_message(agreed.END, self._end)

    def await_workers(self, number: int, within: float) -> None:
        """Raises NothingJudged when fewer came."""
        deadline = time.monotonic() + within
        while len(self._parts) < number and not self.halted.wait(_LOOK):
            if time.monotonic() > deadline:
                raise NothingJudged(f"{len(self._parts)} of {number} workers joined within {within:g} s; none wrote")

    def load(self, clients: int) -> None:
        """Let the clients write; returns when their time is over, or a signal ended it."""
        if self.halted.is_set():
            return
        self._began = time.monotonic()
        gevent.spawn(self._runner.start, clients, clients)
        self.halted.wait(self._plan.seconds)
        self._runner.send_message(agreed.HALT)

    def collect(self) -> None:
        """Wait for what is left of the histories, no longer than for operations that no server answers."""
        over = time.monotonic()
        while self._awaited(time.monotonic() - over):
            self._told.wait(_LOOK)
            self._told.clear()
        found = [asdict(part) for part in self._parts.values()]
        (self._folder / WORKERS).write_text(json.dumps(found), encoding="utf-8")

    def _awaited(self, since: float) -> bool:
        missing = {one.id for one in self._runner.clients.all if one.state == STATE_MISSING}
        open_parts = {name for name, part in self._parts.items() if not part.ended}
        if self._began is None or since > 2 * self._plan.patience + _HEARTBEATS:
            return False
        return bool(open_parts - missing if since > _HEARTBEATS else open_parts)

    def _greet(self, environment: Environment, msg: Any) -> None:
        if msg.data["version"] != agreed.version():
            why = f"it is of another version ({msg.data['version']}) than the master ({agreed.version()})"
            self._runner.send_message(agreed.REFUSED, {"why": why}, msg.node_id)
            return
        left = self._plan.seconds - (time.monotonic() - self._began if self._began else 0)
        if left <= 0:
            self._runner.send_message(agreed.REFUSED, {"why": "the load is over"}, msg.node_id)
            return
        self._runner.send_message(agreed.PLAN, asdict(replace(self._plan, seconds=left)), msg.node_id)

    def _accept(self, environment: Environment, msg: Any) -> None:
        number = self._runner.get_worker_index(msg.node_id)
        self._parts[msg.node_id] = Part(number, msg.node_id.rpartition("_")[0])

    def _keep(self, environment: Environment, msg: Any) -> None:
        part, lines = self._parts[msg.node_id], msg.data["lines"]
        with (self._folder / part.file).open("a", encoding="utf-8") as file:
            file.write(lines)
        self._parts[msg.node_id] = replace(part, received=part.received + lines.count("\n"))

    def _end(self, environment: Environment, msg: Any) -> None:
        part, told = self._parts[msg.node_id], msg.data
        self._parts[msg.node_id] = replace(part, ended=True, told=told["operations"], errors=tuple(told["errors"]))
        self._told.set()


def main() -> int:
    """The program."""
    told = json.load(sys.stdin)
    logging.disable(logging.WARNING)
    environment = Environment(user_classes=[Appender], stop_timeout=2 * told["plan"]["patience"])
    runner = environment.create_master_runner(told["host"], told["port"])
    master = Master(runner, Plan(**told["plan"]), Path(told["folder"]))
    gevent.signal_handler(signal.SIGINT, master.halted.set)
    try:
        master.await_workers(told["workers"], told["joining"])
        master.load(told["clients"])
        master.collect()
    except NothingJudged as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    finally:
        runner.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
