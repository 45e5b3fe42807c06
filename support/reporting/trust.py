"""What `accept prove` found: which promise noticed which sabotage, and how many false alarms there were.

Kept as JSON lines, so that several processes can write to one file and a kill loses nothing. Shown as the trust matrix,
a page beside the report."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from support.reporting.summary import TEMPLATES

PAGE = "trust.html"


@dataclass(frozen=True)
class Heard:
    """How the scenarios of a promise reacted to a sabotage that they must notice."""

    id: str
    noticed: bool
    verdict: str
    scenario: str = ""
    message: str = ""
    """The message of the scenario that noticed, or else why the promise has not noticed."""


@dataclass(frozen=True)
class Proof:
    """One sabotage, and who noticed it."""

    sabotage: str
    part: str
    words: str
    heard: tuple[Heard, ...] = ()
    failed: str = ""
    """Why it could not be done, did not take effect, or could not be undone; empty when all went well."""
    others: tuple[str, ...] = ()
    """Further promises with a failing scenario; looked for with --all."""
    seconds: float = 0.0
    recovered: bool = True
    """Whether the cluster was healthy again afterwards."""

    @property
    def noticed(self) -> bool:
        """Whether every promise that must notice it did."""
        return bool(self.heard) and not self.failed and all(one.noticed for one in self.heard)


@dataclass(frozen=True)
class HealthyRun:
    """A run of scenarios on the healthy cluster."""

    scenarios: int
    alarms: tuple[str, ...] = ()
    """Scenarios that did not pass, each with its message: false alarms."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Trust:
    """Everything that `accept prove` found."""

    proofs: tuple[Proof, ...] = ()
    healthy: tuple[HealthyRun, ...] = ()
    uncovered: Mapping[str, str] = field(default_factory=dict)
    """Promises with too few sabotages: id -> what is missing."""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Sabotages that are impossible on this target: name -> why."""
    planned: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def heard(self) -> tuple[Heard, ...]:
        return tuple(one for proof in self.proofs for one in proof.heard)

    @property
    def noticed(self) -> int:
        """Number of pairs of a sabotage and a promise that must notice it and did."""
        return sum(one.noticed for proof in self.proofs if not proof.failed for one in proof.heard)

    @property
    def alarms(self) -> tuple[str, ...]:
        return tuple(alarm for run in self.healthy for alarm in run.alarms)

    @property
    def missing(self) -> tuple[str, ...]:
        """Sabotages that were planned and not carried out."""
        done = {proof.sabotage for proof in self.proofs}
        return tuple(name for name in self.planned if name not in done)

    @property
    def passed(self) -> bool:
        """Whether every promise has sabotages, all that must notice one did, and there was no false alarm."""
        sound = all(proof.noticed for proof in self.proofs) and not self.missing and not self.uncovered
        return sound and bool(self.proofs) and not self.alarms

    @property
    def score(self) -> str:
        """The result in one line."""
        whole = sum(proof.noticed for proof in self.proofs)
        return (
            f"{whole} of {len(self.planned)} sabotages noticed by every promise that must notice "
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
    """Everything noted so far."""
    found: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            noted = json.loads(line)
        except ValueError:
            continue  # incomplete
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
    """The plans of all clusters as one."""
    return Trust(
        planned=tuple(name for plan in plans for name in plan.planned),
        passed_over={name: why for plan in plans for name, why in plan.passed_over.items()},
        uncovered={id: what for plan in plans for id, what in plan.uncovered.items()},
        facts={name: value for plan in plans for name, value in plan.facts.items()},
    )


def _place(planned: Sequence[str], name: str) -> int:
    return planned.index(name) if name in planned else len(planned)


def write_page(trust: Trust, report: Path) -> Path:
    """Write the trust matrix into the folder of the report; returns its path."""
    report.mkdir(parents=True, exist_ok=True)
    page = report / PAGE
    page.write_text(page_of(trust), encoding="utf-8")
    return page


def page_of(trust: Trust) -> str:
    """The trust matrix as HTML: sabotages × promises, and the message of each scenario."""
    promises = sorted({one.id for one in trust.heard})
    return TEMPLATES.get_template("trust.html.j2").render(
        trust=trust,
        promises=promises,
        rows=[(proof, [_cell(proof, id) for id in promises]) for proof in trust.proofs],
        covered={id: sum(one.id == id and one.noticed for one in trust.heard) for id in promises},
        colour="passed" if trust.passed else "failed",
        when=time.strftime("%d %B %Y, %H:%M %Z"),
    )


def _cell(proof: Proof, id: str) -> Heard | str | None:
    """How the promise reacted; "other" where it failed without having to; None where it was not tried."""
    heard = [one for one in proof.heard if one.id == id]
    if heard:
        return next((one for one in heard if not one.noticed), heard[0])
    return "other" if id in proof.others else None
