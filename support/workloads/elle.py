"""A ledger's history as elle-cli reads it, so that somebody else's checker can judge what ours did.

    gunzip -c ledger.json.gz > ledger.json && elle-cli --model set ledger.json

Sources: https://github.com/ligurio/elle-cli (README, "set"; src/elle_cli/cli.clj, `read-json-history`: one JSON array)
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from support.history import History, Operation, Outcome
from support.workloads.ledger import APPEND, READ

_TYPES = {Outcome.OK: "ok", Outcome.FAIL: "fail", Outcome.UNKNOWN: "info"}
_FUNCTIONS = {APPEND: "add", READ: "read"}
_NANOSECONDS = 1_000_000_000


def as_set(history: History) -> str:
    """A JSON array, one event a line: each operation is invoked, and ends, in the order in which that happened.

    Reads are of the whole ledger. What is neither an append nor a read is left out, as the model knows no more.
    """
    operations = [one for one in history if one.action in _FUNCTIONS]
    events = sorted(itertools.chain.from_iterable(_events(operations)), key=lambda event: int(event["time"]))
    lines = (json.dumps({"index": index, **event}) for index, event in enumerate(events))
    return "[" + ",\n".join(lines) + "]\n"


def _events(operations: list[Operation]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The two events of each. Whoever does not know what came of an operation goes on as another process, for nothing
    can tell when it happens, if it does."""
    fresh = itertools.count()
    process: dict[int, int] = {}
    for one in sorted(operations, key=lambda one: one.begun):
        if one.client not in process:
            process[one.client] = next(fresh)
        told = {"process": process[one.client], "f": _FUNCTIONS[one.action]}
        if one.outcome is Outcome.UNKNOWN:
            del process[one.client]
        asked = None if one.action == READ else one.value
        yield (
            {"type": "invoke", **told, "value": asked, "time": round(one.begun * _NANOSECONDS)},
            {"type": _TYPES[one.outcome], **told, "value": one.value, "time": round(one.ended * _NANOSECONDS)},
        )
