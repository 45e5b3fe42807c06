"""What clients did and how it ended: operations, their outcomes, and the append-only history of them."""

import enum
import itertools
import json
import math
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


class Outcome(enum.StrEnum):
    """How an operation ended."""

    OK = "ok"
    """It was acknowledged, so it happened."""
    FAIL = "fail"
    """It certainly did not happen."""
    UNKNOWN = "unknown"
    """It may have happened: a timeout, or a connection lost at commit."""


@dataclass(frozen=True)
class Operation:
    """One operation of one client. Times are seconds on the machine's monotonic clock."""

    client: int
    action: str
    key: str
    value: Any
    outcome: Outcome
    begun: float
    ended: float
    error: str = ""
    code: str = ""
    """The SQLSTATE of the error, which does not depend on the server's language; empty if it has none."""
    tried: bool = True
    """Whether the client's own machine could try it: if not, the failure says nothing about the database."""


@dataclass(frozen=True)
class InFlight:
    """An operation that has begun and not ended, at the moment of asking; seconds on the monotonic clock."""

    client: int
    action: str
    key: str
    begun: float


@dataclass(frozen=True)
class WriterSample:
    """Whether a member accepted writes at one moment; seconds on the monotonic clock. `writable` is None if it did not
    answer."""

    member: str
    begun: float
    ended: float
    writable: bool | None
    closed: bool = False
    """The member let nobody in, and said so: no server listens there, or it is starting or stopping. That is an answer,
    too: it takes no write now."""

    @property
    def refused(self) -> bool:
        """Whether it said that it takes no write; silence is not a refusal."""
        return self.writable is False or self.closed


class History:
    """Operations in the order in which they ended. Many threads may append at the same time.

    As nothing is ever removed or changed, readers need no copy: only the length must not change while they read.
    """

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self._operations = list(operations)
        self._lock = threading.Lock()

    def append(self, operation: Operation) -> None:
        with self._lock:
            self._operations.append(operation)

    def __iter__(self) -> Iterator[Operation]:
        return itertools.islice(self._operations, len(self._operations))

    def __len__(self) -> int:
        return len(self._operations)

    def last(self, count: int) -> list[Operation]:
        """The last operations that were recorded."""
        return self._operations[-count:]

    def of(self, *, action: str | None = None, outcome: Outcome | None = None) -> list[Operation]:
        """The operations with that action and that outcome; either may be left out."""
        return [
            operation
            for operation in self
            if (action is None or operation.action == action) and (outcome is None or operation.outcome == outcome)
        ]

    @property
    def lines(self) -> str:
        """The operations as JSON, one object per line."""
        return "".join(json.dumps(vars(operation), default=str) + "\n" for operation in self)


@dataclass(frozen=True)
class Durations:
    """How long each of many operations took, in milliseconds, shortest first."""

    milliseconds: tuple[float, ...]

    def percentile(self, share: float) -> float:
        """The time that `share` per cent of the operations did not exceed. Raises ValueError if there are none."""
        if not self.milliseconds:
            raise ValueError("no operations, so no percentile")
        return self.milliseconds[max(0, math.ceil(len(self.milliseconds) * share / 100) - 1)]


def durations(history: History, action: str) -> Durations:
    """How long the acknowledged operations took."""
    done = history.of(action=action, outcome=Outcome.OK)
    return Durations(tuple(sorted(1000 * (operation.ended - operation.begun) for operation in done)))
