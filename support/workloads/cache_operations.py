"""Operations on the cache under test, each recorded with its times and what came of it."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support import sql
from support.application.cache import Read, Source
from support.errors import ConnectFailed
from support.history import History, Operation, Outcome
from support.waiting import describe
from support.workloads.cache_clients import CacheClient

ACTIONS = {Source.CACHE: "hit", Source.DATABASE: "miss"}


class Recorder:
    """Performs the operations of one client of the history. An error is an outcome: none may reach a caller."""

    def __init__(self, history: History, number: int, client: CacheClient, namespace: str) -> None:
        self._history, self._number, self._namespace = history, number, namespace
        self._repository = client.repository

    def read(self, key: str) -> Operation:
        """A read of an entry: a hit or a miss, with the value that it served."""
        return self._record("miss", key, None, lambda: self._repository.read(self._namespace, key))

    def write(self, key: str, value: str) -> Operation:
        """A write-through."""
        return self._record("write", key, value, lambda: self._repository.write(self._namespace, key, value))

    def update(self, key: str, value: str) -> Operation:
        """A change of an entry that is there, recorded as a write."""
        return self._record("write", key, value, lambda: self._repository.update(self._namespace, key, value))

    def delete(self, key: str) -> Operation:
        """A deletion, recorded as a write of nothing."""
        return self._record("write", key, None, lambda: self._repository.delete(self._namespace, key))

    def perform(self, action: str, key: str, value: str | None, work: Callable[[], object]) -> Operation:
        """Anything else, under a name of the caller's."""
        return self._record(action, key, value, work)

    def note(self, action: str, key: str, value: str | None, begun: float) -> None:
        """Record what the caller has done well since `begun`."""
        self._history.append(Operation(self._number, action, key, value, Outcome.OK, begun, time.monotonic()))

    def _record(self, action: str, key: str, value: str | None, work: Callable[[], object]) -> Operation:
        begun = time.monotonic()
        outcome, said = Outcome.OK, ""
        found: Any = value
        try:
            result = work()
            if isinstance(result, Read):
                action, found = ACTIONS[result.source], result.value
        except Exception as error:
            ours = isinstance(error, sql.Error | ConnectFailed)
            outcome = sql.outcome_of(error, committing=True) if ours else Outcome.UNKNOWN
            said = describe(error)
        operation = Operation(self._number, action, key, found, outcome, begun, time.monotonic(), said)
        self._history.append(operation)
        return operation


class TakenBack(Exception):
    """Raised in a transaction to end it without its commit."""


def together(jobs: Sequence[Callable[[], object]]) -> list[object]:
    """Do all of it at once, in a thread each; returns the results when all have ended. Raises the first error."""
    gate = threading.Barrier(len(jobs))

    def begin(job: Callable[[], object]) -> object:
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [ended.result() for ended in [pool.submit(begin, job) for job in jobs]]
