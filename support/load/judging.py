"""One history out of those of many workers, and what it proves.

The clocks of several machines differ. Durability needs none: the last read was begun after every worker had said its
end. How long one operation took is told by one clock. What would need a common one, such as the order of operations of
two workers or the time in which none was acknowledged, is not judged.
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
class Part:
    """What the master has of one worker."""

    number: int
    machine: str
    received: int = 0
    """Operations that arrived."""
    told: int = 0
    """Operations that there were, as the worker said at its end."""
    ended: bool = False
    errors: tuple[str, ...] = ()
    """What went wrong in it that was no answer of the database."""

    @property
    def file(self) -> str:
        return f"worker-{self.number}.jsonl"

    @property
    def gap(self) -> str:
        """Why its history proves nothing; empty when it is whole."""
        if not self.ended:
            return f"it never said its end; {self.received} of its operations are known"
        if self.errors:
            return self.errors[0]
        return "" if self.received == self.told else f"{self.received} of its {self.told} operations arrived"

    def history(self, folder: Path) -> History:
        """Its operations, their times counted from the beginning of its first one."""
        path = folder / self.file
        found = list(History.of_lines(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
        start = min((one.begun for one in found), default=0.0)
        return History(replace(one, begun=one.begun - start, ended=one.ended - start) for one in found)


def parts(folder: Path) -> list[Part]:
    """Of all workers that the master accepted."""
    found = json.loads((folder / WORKERS).read_text(encoding="utf-8"))
    return sorted((Part(**{**one, "errors": tuple(one["errors"])}) for one in found), key=lambda one: one.number)


def merged(histories: Sequence[History], final: Operation, unheard: frozenset[int] = frozenset()) -> History:
    """All operations, and after them the final read.

    `unheard` are the workers whose history is not whole: entries of theirs that are in no history are left out of the
    read, for nobody can tell what they are.
    """
    every = sorted((one for history in histories for one in history), key=lambda one: one.ended)
    known = {one.value for one in every}
    value = [one for one in final.value if one in known or _writer(one) not in unheard]
    end = (every[-1].ended if every else 0.0) + final.ended - final.begun
    return History([*every, replace(final, value=value, begun=end, ended=end)])


def _writer(entry: str) -> int | None:
    """The number of the worker that wrote it; None when no client of ours can have."""
    client, dash, _ = entry.partition("-")
    return worker_of(int(client)) if dash and client.isdecimal() else None


def judged(history: History, found: Sequence[Part]) -> Finding:
    """Every acknowledged write of every worker is there, once.

    False when one is not; unknown when all that are known are, but a worker did not send all of its history.
    """
    findings = [no_acknowledged_write_lost(history), each_write_once(history)]
    words = "; ".join(one.words for one in findings)
    if any(one.holds is False for one in findings):
        return Finding.false(words)
    gaps = [f"worker {part.number} on {part.machine}: {part.gap}" for part in found if part.gap]
    if gaps:
        return Finding.unknown(f"of {listed(gaps)}. Of the rest: {words}")
    return Finding.unknown(words) if None in [one.holds for one in findings] else Finding.true(words)


def span(history: History) -> float:
    """Seconds from the beginning of its first append to the end of its last."""
    appends = history.of(action=APPEND)
    return max((one.ended for one in appends), default=0.0) - min((one.begun for one in appends), default=0.0)


def rate(history: History) -> float:
    """Acknowledged appends a second."""
    seconds = span(history)
    return len(history.of(action=APPEND, outcome=Outcome.OK)) / seconds if seconds else 0.0
