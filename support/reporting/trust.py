"""What `accept prove` found: which sabotages were noticed by whom, and how often the suite cried wolf.

Kept as JSON lines, a line each, so that several processes may write to one file and nothing is lost by a kill.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Heard:
    """What a promise's scenario had to say to a sabotage that it must notice."""

    id: str
    noticed: bool
    verdict: str
    scenario: str = ""
    message: str = ""
    """The failing scenario's own; else why it does not count."""


@dataclass(frozen=True)
class Proof:
    """One sabotage, and what came of it."""

    sabotage: str
    part: str
    words: str
    heard: tuple[Heard, ...] = ()
    failed: str = ""
    """Why it was not done, or did not take effect, or what was not well after it; empty when all went as it should."""
    others: tuple[str, ...] = ()
    """Further promises of which a scenario failed; looked for with --all."""
    seconds: float = 0.0
    recovered: bool = True
    """The cluster was well again after it."""

    @property
    def noticed(self) -> bool:
        """Every promise that must notice did."""
        return bool(self.heard) and not self.failed and all(one.noticed for one in self.heard)


@dataclass(frozen=True)
class HealthyRun:
    """A run of scenarios on the cluster as it is when nothing is broken."""

    scenarios: int
    alarms: tuple[str, ...] = ()
    """Scenarios that did not pass all the same: false alarms, each with its message."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Trust:
    """All of it."""

    proofs: tuple[Proof, ...] = ()
    healthy: tuple[HealthyRun, ...] = ()
    uncovered: Mapping[str, str] = field(default_factory=dict)
    """Promises without (enough) sabotages: id -> what is missing."""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Sabotages that cannot be done on this target: name -> why."""
    planned: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def heard(self) -> tuple[Heard, ...]:
        return tuple(one for proof in self.proofs for one in proof.heard)

    @property
    def noticed(self) -> int:
        """Pairs of a sabotage and a promise that must notice it, and did."""
        return sum(one.noticed for proof in self.proofs if not proof.failed for one in proof.heard)

    @property
    def alarms(self) -> tuple[str, ...]:
        return tuple(alarm for run in self.healthy for alarm in run.alarms)

    @property
    def missing(self) -> tuple[str, ...]:
        """Sabotages that were planned and not come to."""
        done = {proof.sabotage for proof in self.proofs}
        return tuple(name for name in self.planned if name not in done)

    @property
    def passed(self) -> bool:
        """Every sabotage was noticed by all who must, nobody cried wolf, and every promise has its sabotages."""
        sound = all(proof.noticed for proof in self.proofs) and not self.missing and not self.uncovered
        return sound and bool(self.proofs) and not self.alarms

    @property
    def score(self) -> str:
        """For people, in one line."""
        whole = sum(proof.noticed for proof in self.proofs)
        return (
            f"{whole} of {len(self.planned)} sabotages noticed by all who must "
            f"({self.noticed} of {len(self.heard)} notices); "
            f"{len(self.alarms)} false alarms in {len(self.healthy)} healthy runs of "
            f"{sum(run.scenarios for run in self.healthy)} scenarios; {self.seconds / 60:.0f} min"
        )


_KINDS: Mapping[str, TypeAdapter[Any]] = {
    "proof": TypeAdapter(Proof),
    "healthy": TypeAdapter(HealthyRun),
    "plan": TypeAdapter(Trust),
}


def note(path: Path, kind: str, fact: Proof | HealthyRun | Trust) -> None:
    """Add a fact to the file."""
    line = json.dumps({"kind": kind, "fact": _KINDS[kind].dump_python(fact, mode="json")}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read(path: Path) -> Trust:
    """All that was noted, as far as it was written; the plan says what was to be done."""
    found: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            noted = json.loads(line)
        except ValueError:
            continue  # torn off
        found[noted["kind"]].append(_KINDS[noted["kind"]].validate_python(noted["fact"]))
    plan = _together(found["plan"])
    planned = tuple(name for name in plan.planned if name not in plan.passed_over)
    proofs = {proof.sabotage: proof for proof in found["proof"]}
    return Trust(
        tuple(sorted(proofs.values(), key=lambda one: _place(planned, one.sabotage))),
        tuple(found["healthy"]),
        plan.uncovered,
        plan.passed_over,
        planned,
        plan.facts,
        plan.seconds,
    )


def _together(plans: Sequence[Trust]) -> Trust:
    """What was planned at first, and what was seen of it on one cluster after another."""
    return Trust(
        planned=tuple(name for plan in plans for name in plan.planned),
        passed_over={name: why for plan in plans for name, why in plan.passed_over.items()},
        uncovered={id: what for plan in plans for id, what in plan.uncovered.items()},
        facts={name: value for plan in plans for name, value in plan.facts.items()},
    )


def _place(planned: Sequence[str], name: str) -> int:
    return planned.index(name) if name in planned else len(planned)
