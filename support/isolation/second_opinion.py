"""A second opinion on a history, by a program that knows nothing of ours: adya (https://crates.io/crates/adya).

It is asked where it is on the PATH (`cargo install adya`). It judges what transactions did with lists; registers and
sets are left out. The history is written in the format of elle-cli, which reads it as well:

    elle-cli --model list-append --consistency-models snapshot-isolation history.json

Source of the format: https://github.com/ligurio/elle-cli (README, "list-append")
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.engine.elle import Invocation, as_events
from support.engine.finding import Finding
from support.engine.history import Outcome
from support.errors import ProcessFailed
from support.isolation.levels import Level
from support.isolation.transactions import Access, Kind, Transaction

PROGRAM = "adya"
MODELS = {
    Level.READ_COMMITTED: "read-committed",
    Level.REPEATABLE_READ: "snapshot-isolation",
    Level.SERIALIZABLE: "serializable",
}
"""Level -> what adya and Elle call it."""
_ENDS_WITHIN = 120.0
"""Seconds; a history of thousands of transactions takes a fraction of one."""


@dataclass(frozen=True)
class Opinion:
    """What the other judge says."""

    valid: bool | None
    """None if it cannot tell."""
    anomalies: Mapping[str, int]
    """Name -> how many."""
    example: str = ""

    def __str__(self) -> str:
        if self.valid is not False:
            return f"{PROGRAM} {'finds nothing' if self.valid else 'cannot tell'}"
        found = ", ".join(f"{name}: {count}" for name, count in self.anomalies.items())
        return f"{PROGRAM} finds {found}; for example: {self.example}"


def is_there() -> bool:
    """Whether the other judge can be asked."""
    return shutil.which(PROGRAM) is not None


def opinion(transactions: Sequence[Transaction], level: Level) -> Opinion:
    """What the other judge says of these transactions. Raises ProcessFailed if it does not judge."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "history.json"
        file.write_text(as_list_append(transactions), encoding="utf-8")
        command = [PROGRAM, "check", "--json", "-m", "list-append", "-c", MODELS[level], str(file)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=_ENDS_WITHIN, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProcessFailed(f"{PROGRAM} gave no second opinion: {error}") from error
    try:
        told = json.loads(ended.stdout)
        anomalies = dict(told["anomalies"])
    except (ValueError, KeyError, TypeError) as error:
        raise ProcessFailed(f"{PROGRAM} gave no second opinion: {ended.stderr.strip() or ended.stdout}") from error
    first = next((one["explanation"] for many in anomalies.values() for one in many), "")
    valid = {True: True, False: False}.get(told["valid"])
    return Opinion(valid, {name: len(many) for name, many in anomalies.items()}, " ".join(first.split()))


def agrees(ours: Finding, theirs: Opinion) -> Finding:
    """Our finding, unless the other judge objects: then it is unknown.

    Ours may find more: it knows registers, sets and the order of time.
    """
    if ours.holds and theirs.valid is False:
        return Finding.unknown(f"{theirs}; our own checks do not find it: {ours.words}")
    return ours


def as_list_append(transactions: Sequence[Transaction]) -> str:
    """The transactions for the model "list-append": what each did with lists."""
    return as_events(map(_invocation, transactions))


def _invocation(one: Transaction) -> Invocation:
    steps = [access for access in one.accesses if access.kind is Kind.LIST]
    asked = [_step(access, answered=False) for access in steps]
    answered = [_step(access, answered=one.outcome is Outcome.OK) for access in steps]
    return Invocation(one.client, "txn", asked, answered, one.outcome, one.begun, one.ended)


def _step(access: Access, answered: bool) -> list[Any]:
    if access.wrote is not None:
        return ["append", access.name, access.wrote]
    return ["r", access.name, list(access.saw) if answered and access.saw is not None else None]
