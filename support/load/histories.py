"""The histories of many workers, merged into one, and the verdict on it.

The clocks of several machines differ. Durability needs no common clock: the final read begins after every worker has
reported its end. The duration of an operation is measured with one clock. Claims that need a common clock, such as the
order of two workers' operations or the longest gap without an acknowledged write, are not judged.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from support.engine.checks.durability import each_write_once, no_acknowledged_write_lost
from support.engine.finding import Finding, listed
from support.engine.history import History, Operation, Outcome
from support.engine.ledger import APPEND
from support.load.plan import worker_of

WORKERS = "workers.json"


@dataclass(frozen=True)
class WorkerHistory:
    """What the master received from one worker."""

    number: int
    machine: str
    received: int = 0
    """Number of operations that arrived."""
    sent: int = 0
    """Number of operations that the worker sent, as it reported at its end."""
    ended: bool = False
    errors: tuple[str, ...] = ()
    """Errors in the worker that were not answers of the database."""

    @property
    def file(self) -> str:
        return f"worker-{self.number}.jsonl"

    @property
    def gap(self) -> str:
        """Why its history is incomplete; empty if it is complete."""
        if not self.ended:
            return f"it never reported its end; {self.received} of its operations arrived"
        if self.errors:
            return self.errors[0]
        return "" if self.received == self.sent else f"{self.received} of its {self.sent} operations arrived"

    def history(self, folder: Path) -> History:
        """Its operations. Times count from the start of its first one."""
        path = folder / self.file
        found = list(History.of_lines(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
        start = min((one.begun for one in found), default=0.0)
        return History(replace(one, begun=one.begun - start, ended=one.ended - start) for one in found)


def load(folder: Path) -> list[WorkerHistory]:
    """The histories of all workers that the master accepted."""
    found = json.loads((folder / WORKERS).read_text(encoding="utf-8"))
    return sorted(
        (WorkerHistory(**{**one, "errors": tuple(one["errors"])}) for one in found), key=lambda one: one.number
    )


def merged(histories: Sequence[History], final: Operation, incomplete: frozenset[int] = frozenset()) -> History:
    """All operations, followed by the final read.

    `incomplete` are the workers whose history is incomplete. Their entries that no history contains are left out of the
    read: nothing is known about them.
    """
    every = sorted((one for history in histories for one in history), key=lambda one: one.ended)
    known = {one.value for one in every}
    value = [one for one in final.value if one in known or _writer(one) not in incomplete]
    end = (every[-1].ended if every else 0.0) + final.ended - final.begun
    return History([*every, replace(final, value=value, begun=end, ended=end)])


def _writer(entry: str) -> int | None:
    """The number of the worker that wrote an entry; None if it cannot be from one of our clients."""
    client, dash, _ = entry.partition("-")
    return worker_of(int(client)) if dash and client.isdecimal() else None


def judge(history: History, workers: Sequence[WorkerHistory]) -> Finding:
    """Every acknowledged write of every worker is there, exactly once.

    Unknown if that holds for the known writes, but the history of a worker is incomplete.
    """
    findings = [no_acknowledged_write_lost(history), each_write_once(history)]
    words = "; ".join(one.words for one in findings)
    if any(one.holds is False for one in findings):
        return Finding.false(words)
    gaps = [f"worker {one.number} on {one.machine}: {one.gap}" for one in workers if one.gap]
    if gaps:
        return Finding.unknown(f"incomplete history of {listed(gaps)}. Of the known operations: {words}")
    return Finding.unknown(words) if None in [one.holds for one in findings] else Finding.true(words)


def rate(history: History) -> float:
    """Acknowledged appends per second, between the start of the first append and the end of the last."""
    appends = history.of(action=APPEND)
    seconds = max((one.ended for one in appends), default=0.0) - min((one.begun for one in appends), default=0.0)
    return len(history.of(action=APPEND, outcome=Outcome.OK)) / seconds if seconds else 0.0
