"""The histories of many workers, and the verdict on what all of them wrote.

A load can write for hours, so an operation is kept as two bytes: how it ended, and how often its entry was found. An
entry names its client and its number (`ledger.appends`), and each client counts from 0.

The clocks of several machines differ. Durability needs no common clock: the final read begins after every worker has
reported its end. The duration of an operation is measured with one clock. Claims that need a common clock, such as the
order of two workers' operations or the longest gap without an acknowledged write, are not judged.
"""

import json
import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from support.engine.finding import Finding, listed, listed_writes
from support.engine.history import Operation, Outcome
from support.load.plan import worker_of
from support.vocabulary import counted

WORKERS = "workers.json"
_CODES = {Outcome.OK: 1, Outcome.FAIL: 2, Outcome.UNKNOWN: 3}
_OUTCOMES = {code: outcome for outcome, code in _CODES.items()}
_MOST_TIMES = 255
"""An entry that was found more often counts as found so often."""
_NAMED = 5
"""How many wrong entries of a kind a verdict names."""


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


def load(folder: Path) -> list[WorkerHistory]:
    """The histories of all workers that the master accepted."""
    found = json.loads((folder / WORKERS).read_text(encoding="utf-8"))
    return sorted(
        (WorkerHistory(**{**one, "errors": tuple(one["errors"])}) for one in found), key=lambda one: one.number
    )


def line_of(operation: Operation) -> str:
    """An append as a line of a worker's history: its entry, its outcome, when it began and ended, and its error."""
    times = [round(operation.begun, 6), round(operation.ended, 6)]
    return json.dumps([operation.value, operation.outcome, *times, operation.error]) + "\n"


@dataclass
class Figures:
    """What clients did, in figures; times in seconds of their machine's clock."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    milliseconds: "array[float]" = field(default_factory=lambda: array("f"))
    """How long each acknowledged append took."""
    begun: float = math.inf
    ended: float = -math.inf

    def add(self, outcome: Outcome, begun: float, ended: float) -> None:
        self.counts[outcome] += 1
        self.begun, self.ended = min(self.begun, begun), max(self.ended, ended)
        if outcome is Outcome.OK:
            self.milliseconds.append(1000 * (ended - begun))

    @property
    def rate(self) -> float:
        """Acknowledged appends per second, between the start of the first append and the end of the last."""
        seconds = self.ended - self.begun if self.counts else 0.0
        return self.counts[Outcome.OK] / seconds if seconds > 0 else 0.0

    def percentiles(self, shares: Sequence[float]) -> list[float]:
        """The times (ms) that these per cent of the acknowledged appends did not exceed; empty where there is none."""
        if not self.milliseconds:
            return []
        return [float(one) for one in np.percentile(np.asarray(self.milliseconds), shares, method="inverted_cdf")]


@dataclass
class _Entries:
    """Entries of a kind: how many, and the names of some."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, client: int, those: "np.ndarray[Any, np.dtype[np.bool_]]") -> None:
        """The numbers of a client's entries for which `those` is true."""
        numbers = np.flatnonzero(those)
        self.count += len(numbers)
        self.named = [*self.named, *(f"{client}-{number}" for number in numbers[:_NAMED])][:_NAMED]

    def __str__(self) -> str:
        return listed_writes(self.named, self.count)


class LoadLedger:
    """What all workers wrote, and what of it was found."""

    def __init__(self, incomplete: Collection[int] = ()) -> None:
        """`incomplete` are the workers whose history is incomplete. Of their entries that no history contains, nothing
        is known: they are left out of account."""
        self.figures: dict[int, Figures] = {}
        """The figures of each worker."""
        self._incomplete = frozenset(incomplete)
        self._outcomes: dict[int, bytearray] = {}
        self._found: dict[int, bytearray] = {}
        self._strange: list[str] = []
        self._unexpected = self._entries = 0

    def add(self, worker: int, lines: Iterable[str]) -> None:
        """Add a worker's operations, as `line_of` writes them. A last line that was cut off is left out."""
        figures = self.figures.setdefault(worker, Figures())
        for line in lines:
            if not line.endswith("\n"):
                return
            entry, outcome, begun, ended, _ = json.loads(line)
            client, number = _parsed(entry)
            outcomes = self._outcomes.setdefault(client, bytearray())
            outcomes.extend(bytes(max(0, number + 1 - len(outcomes))))
            outcomes[number] = _CODES[Outcome(outcome)]
            figures.add(Outcome(outcome), begun, ended)

    def read(self, entries: Iterator[str]) -> None:
        """Take note of what the database holds. Raises what `entries` raises; then it can be called again."""
        self._found = {client: bytearray(len(outcomes)) for client, outcomes in self._outcomes.items()}
        self._strange, self._unexpected, self._entries = [], 0, 0
        for entry in entries:
            self._entries += 1
            client, number = _parsed(entry)
            if self._outcome(client, number) is None:
                if worker_of(client) in self._incomplete and client >= 0:
                    self._entries -= 1
                    continue
                self._note_strange(entry)
                continue
            found = self._found[client]
            found[number] = min(_MOST_TIMES, found[number] + 1)

    def judge(self, workers: Sequence[WorkerHistory]) -> Finding:
        """Every acknowledged write of every worker is there, exactly once.

        Unknown if that holds for the known writes, but the history of a worker is incomplete.
        """
        acknowledged = sum(one.counts[Outcome.OK] for one in self.figures.values())
        if not acknowledged:
            return Finding.unknown("no write was acknowledged")
        if self._found.keys() != self._outcomes.keys():
            return Finding.unknown("the ledger was never read back")
        lost, twice, strange, recovered = _Entries(), _Entries(), _Entries(self._unexpected, self._strange), _Entries()
        for client, outcomes in self._outcomes.items():
            ended, found = np.frombuffer(outcomes, np.uint8), np.frombuffer(self._found[client], np.uint8)
            lost.add(client, (ended == _CODES[Outcome.OK]) & (found == 0))
            twice.add(client, found > 1)
            strange.add(client, (ended == _CODES[Outcome.FAIL]) & (found > 0))
            recovered.add(client, (ended == _CODES[Outcome.UNKNOWN]) & (found > 0))
        unknown = sum(one.counts[Outcome.UNKNOWN] for one in self.figures.values())
        wrong = []
        if lost.count:
            wrong.append(f"{lost.count} of {acknowledged} acknowledged writes lost: {lost}")
        if twice.count:
            wrong.append(f"{counted(twice.count, 'write is', 'writes are')} there more than once: {twice}")
        if strange.count:
            wrong.append(f"{counted(strange.count, 'entry is', 'entries are')} there that no client wrote: {strange}")
        if wrong:
            return Finding.false("; ".join(wrong))
        words = (
            f"0 of {acknowledged} acknowledged writes lost; {recovered.count} of {unknown} unknown ones were there; "
            f"each of {self._entries} entries is there once, and was written"
        )
        if gaps := [f"worker {one.number} on {one.machine}: {one.gap}" for one in workers if one.gap]:
            return Finding.unknown(f"incomplete history of {listed(gaps)}. Of the known operations: {words}")
        return Finding.true(words)

    def _outcome(self, client: int, number: int) -> Outcome | None:
        outcomes = self._outcomes.get(client, b"")
        return _OUTCOMES.get(outcomes[number]) if 0 <= number < len(outcomes) else None

    def _note_strange(self, entry: str) -> None:
        self._unexpected += 1
        if len(self._strange) < _NAMED:
            self._strange.append(entry)


def _parsed(entry: str) -> tuple[int, int]:
    """The client of an entry and its number; (-1, -1) if it cannot be from one of our clients."""
    client, _, number = str(entry).partition("-")
    return (int(client), int(number)) if client.isdecimal() and number.isdecimal() else (-1, -1)
