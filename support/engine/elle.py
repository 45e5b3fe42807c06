"""Histories in the format of elle-cli, so that an independent program can judge them.

Source: https://github.com/ligurio/elle-cli (README; src/elle_cli/cli.clj, `read-json-history`: one JSON array)
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from support.engine.history import Outcome

_TYPES = {Outcome.OK: "ok", Outcome.FAIL: "fail", Outcome.UNKNOWN: "info"}
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Invocation:
    """One operation of a client, in the terms of elle-cli's model. Times are in seconds."""

    client: int
    function: str
    asked: Any
    """The value at its invocation."""
    answered: Any
    """The value at its completion."""
    outcome: Outcome
    begun: float
    ended: float


def as_events(invocations: Iterable[Invocation]) -> str:
    """A JSON array of events, one per line: the start and the end of each invocation, in chronological order."""
    events = sorted(_events(invocations), key=lambda event: (event["time"], event["type"] == "invoke"))
    return "[" + ",\n".join(json.dumps({"index": index, **event}) for index, event in enumerate(events)) + "]\n"


def _events(invocations: Iterable[Invocation]) -> Iterator[dict[str, Any]]:
    """After an unknown outcome the client gets a new process number, because the operation may still take effect."""
    fresh = itertools.count()
    process: dict[int, int] = {}
    for one in sorted(invocations, key=lambda one: one.begun):
        if one.client not in process:
            process[one.client] = next(fresh)
        told = {"process": process[one.client], "f": one.function}
        if one.outcome is Outcome.UNKNOWN:
            del process[one.client]
        yield {"type": "invoke", **told, "value": one.asked, "time": round(one.begun * _NANOSECONDS)}
        yield {"type": _TYPES[one.outcome], **told, "value": one.answered, "time": round(one.ended * _NANOSECONDS)}
