"""What `accept prove` found: which scenario noticed which sabotage, and how many false alarms there were.

Kept as JSON lines, so that several processes can write to one file and a kill loses nothing. Shown as the trust matrix,
a page beside the report."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from pydantic import TypeAdapter

from support.reporting.journal import append_line
from support.reporting.pages import POLICY_TAG
from support.reporting.scenario import Verdict
from support.vocabulary import counted

PAGE = "trust.html"
NOT_TRIED = "not tried"
"""In place of a verdict: nothing was broken for a scenario that fails on the healthy cluster."""
_FOLDER = Path(__file__).parent / "templates"
_TEMPLATES = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True)


@dataclass(frozen=True)
class Heard:
    """How a scenario reacted to a sabotage that it must notice."""

    id: str
    noticed: bool
    verdict: str
    scenario: str = ""
    message: str = ""
    """The message of the scenario that noticed, or else why it has not noticed."""

    @property
    def label(self) -> str:
        """In a word or two, for the terminal. Only "noticed" counts as noticed."""
        if self.noticed:
            return "noticed"
        return self.verdict.upper() if self.verdict in (Verdict.INCONCLUSIVE, NOT_TRIED) else "NOT NOTICED"

    @property
    def unclear(self) -> bool:
        """Whether it ended inconclusive."""
        return not self.noticed and self.verdict == Verdict.INCONCLUSIVE

    @property
    def mark(self) -> str:
        """In a character, for the matrix."""
        return {"noticed": "✓", "NOT NOTICED": "✗", "INCONCLUSIVE": "?"}.get(self.label, "–")


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
    repeated: bool = False
    """Some of those who must notice were inconclusive, and were tried a second time."""

    @property
    def noticed(self) -> bool:
        """Whether every scenario that must notice it did."""
        return bool(self.heard) and not self.failed and all(one.noticed for one in self.heard)

    @property
    def tried(self) -> bool:
        """Whether the cluster was broken: not if all who must notice fail on the healthy cluster already."""
        return not self.heard or any(one.verdict != NOT_TRIED for one in self.heard)

    @property
    def inconclusive(self) -> bool:
        """Whether a scenario that must notice ended inconclusive, such as on a machine that was busy."""
        return not self.failed and bool(self.unclear)

    @property
    def unclear(self) -> frozenset[str]:
        """The titles of the scenarios that must notice and ended inconclusive."""
        return frozenset(one.scenario for one in self.heard if one.unclear)

    def with_second(self, attempt: "Proof") -> "Proof":
        """This first attempt with a second one, which counts only for what was inconclusive: a miss remains one."""
        later: dict[tuple[str, str], list[Heard]] = {}
        for one in attempt.heard:
            later.setdefault((one.id, one.scenario), []).append(one)
        heard = [
            those.pop(0) if one.unclear and (those := later.get((one.id, one.scenario))) else one for one in self.heard
        ]
        others = tuple(sorted({*self.others, *attempt.others}))
        return replace(attempt, heard=tuple(heard), others=others, repeated=True)


@dataclass(frozen=True)
class HealthyRun:
    """A run of scenarios on the healthy cluster."""

    scenarios: int
    alarms: tuple[str, ...] = ()
    """Scenarios that failed, each with its message: false alarms."""
    seconds: float = 0.0
    name: str = ""
    """The name of a run that was planned, such as one of the destructive scenarios of a feature; empty for others."""
    recovered: bool = True
    """Whether the cluster was healthy again afterwards."""
    destructive: int = 0
    """How many of the scenarios are destructive."""
    inconclusive: Mapping[str, str] = field(default_factory=dict)
    """Scenarios that ended inconclusive: title -> message. They are false alarms unless they pass when repeated."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Scenarios that ended broken or as an error: title -> what happened. No sabotage is tried on them any more."""
    passed: tuple[str, ...] = ()
    """The titles of the scenarios that passed."""
    repeated: bool = False
    """Whether the run repeats scenarios that were inconclusive in earlier runs."""
    evidence: str = ""
    """The folder with journal and results, from which `accept report` makes the pages; empty if all passed."""


@dataclass(frozen=True)
class ScenarioUnderTest:
    """A scenario that a sabotage has to make fail."""

    id: str
    """The promises that it proves, as a comma-separated list."""
    title: str
    """Each row of an outline is a scenario with a title of its own."""
    lacking: str = ""
    """Why this target cannot run it; empty if it can."""


@dataclass(frozen=True)
class Trust:
    """Everything that `accept prove` found."""

    proofs: tuple[Proof, ...] = ()
    healthy: tuple[HealthyRun, ...] = ()
    uncovered: Mapping[str, str] = field(default_factory=dict)
    """Promises with too few sabotages: id -> what is missing."""
    scenarios: tuple[ScenarioUnderTest, ...] = ()
    """The scenarios that must be seen to fail."""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Sabotages that are impossible on this target: name -> why."""
    planned: tuple[str, ...] = ()
    """The names of the sabotages."""
    planned_healthy: tuple[str, ...] = ()
    """The names of the runs of destructive scenarios on the healthy cluster."""
    facts: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    basis: str = ""
    """A digest of what the proof depends on; an interrupted proof can be continued only on the same basis."""
    began: float = 0.0
    """When the last part of a proof that was continued began, in seconds since the epoch; 0 once that part has noted
    how long it took, which one that was killed never does."""

    @property
    def heard(self) -> tuple[Heard, ...]:
        return tuple(one for proof in self.proofs for one in proof.heard)

    @property
    def noticed(self) -> int:
        """Number of pairs of a sabotage and a scenario that must notice it and did."""
        return sum(one.noticed for proof in self.proofs if not proof.failed for one in proof.heard)

    @property
    def alarms(self) -> tuple[str, ...]:
        unsettled = (f"{title}: inconclusive: {why}" for title, why in self.unsettled.items())
        return (*(alarm for run in self.healthy for alarm in run.alarms), *unsettled)

    @property
    def failing(self) -> Mapping[str, str]:
        """Scenarios that failed on the healthy cluster, so that their failing says nothing: title -> what happened."""
        return {title: why for run in self.healthy for title, why in run.failed.items()}

    @property
    def unsettled(self) -> Mapping[str, str]:
        """Scenarios that were inconclusive on the healthy cluster, and did not pass when repeated: title -> message."""
        settled = {title for run in self.healthy if run.repeated for title in run.passed}
        found = {title: why for run in self.healthy for title, why in run.inconclusive.items()}
        return {title: why for title, why in found.items() if title not in settled}

    @property
    def repeated(self) -> int:
        """Number of sabotages and scenarios that were tried again because they had been inconclusive."""
        healthy = (run.scenarios for run in self.healthy if run.repeated)
        return sum(proof.repeated for proof in self.proofs) + sum(healthy)

    @property
    def missing(self) -> tuple[str, ...]:
        """Sabotages and healthy runs that were planned and not carried out."""
        done = {proof.sabotage for proof in self.proofs} | {run.name for run in self.healthy}
        return tuple(name for name in (*self.planned, *self.planned_healthy) if name not in done)

    @property
    def noticed_by(self) -> Mapping[str, tuple[str, ...]]:
        """The title of each scenario that was seen to fail -> the sabotages that it noticed.

        A scenario that is rightly skipped has not failed.
        """
        found: dict[str, list[str]] = {}
        for proof in self.proofs:
            for one in () if proof.failed else proof.heard:
                if one.noticed and one.verdict == Verdict.BROKEN:
                    found.setdefault(one.scenario, []).append(proof.sabotage)
        return {title: tuple(dict.fromkeys(sabotages)) for title, sabotages in found.items()}

    @property
    def seen_to_fail(self) -> frozenset[str]:
        """The ids of the promises that a scenario was seen to find broken when the cluster was."""
        heard = (one for proof in self.proofs if not proof.failed for one in proof.heard)
        noticed = (one.id for one in heard if one.noticed and one.verdict == Verdict.BROKEN)
        return frozenset(id.strip() for ids in noticed for id in ids.split(","))

    @property
    def never_seen(self) -> tuple[ScenarioUnderTest, ...]:
        """The scenarios that this target can run, and that no sabotage has made fail."""
        seen = self.noticed_by
        return tuple(one for one in self.scenarios if not one.lacking and one.title not in seen)

    @property
    def passed(self) -> bool:
        """Whether every scenario noticed what it must, was seen to fail, and never failed on the healthy cluster."""
        sound = all(proof.noticed for proof in self.proofs) and not self.missing
        complete = not self.uncovered and not self.never_seen
        return sound and complete and bool(self.proofs) and not self.alarms

    @property
    def whole(self) -> int:
        """Number of sabotages that every scenario noticed that must."""
        return sum(proof.noticed for proof in self.proofs)

    @property
    def score(self) -> str:
        """The result in one line."""
        possible = [one for one in self.scenarios if not one.lacking]
        seen = f"{len(possible) - len(self.never_seen)} of {len(possible)} scenarios seen to fail; " if possible else ""
        scenarios = sum(run.scenarios for run in self.healthy)
        destructive = sum(run.destructive for run in self.healthy)
        why = Counter(one.verdict for one in self.heard if not one.noticed)
        unclear = "".join(f"{why[one]} {one}; " for one in (Verdict.INCONCLUSIVE, NOT_TRIED) if why[one])
        repeated = f"{self.repeated} inconclusive at first, and repeated; " if self.repeated else ""
        return (
            f"{self.whole} of {len(self.planned)} sabotages noticed by every scenario that must notice "
            f"({self.noticed} of {len(self.heard)} notices); {unclear}{seen}"
            f"{counted(len(self.alarms), 'false alarm')} in {counted(len(self.healthy), 'healthy run')} of "
            f"{counted(scenarios, 'scenario')} ({destructive} of them destructive); {repeated}"
            f"{self.seconds / 60:.0f} min"
        )


_KINDS: Mapping[str, TypeAdapter[Any]] = {
    "proof": TypeAdapter(Proof),
    "healthy": TypeAdapter(HealthyRun),
    "plan": TypeAdapter(Trust),
}


def note(path: Path, kind: str, fact: Proof | HealthyRun | Trust) -> None:
    """Add a fact to the file. Raises OSError."""
    append_line(path, json.dumps({"kind": kind, "fact": _KINDS[kind].dump_python(fact, mode="json")}))


def read(path: Path) -> Trust:
    """Everything noted so far; incomplete lines, and those of another version, are left out."""
    found: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        with suppress(ValueError, KeyError):
            noted = json.loads(line)
            found[noted["kind"]].append(_KINDS[noted["kind"]].validate_python(noted["fact"]))
    plan = _together(found["plan"])
    planned = tuple(name for name in plan.planned if name not in plan.passed_over)
    proofs = {proof.sabotage: proof for proof in found["proof"]}
    return Trust(
        tuple(sorted(proofs.values(), key=lambda one: _place(planned, one.sabotage))),
        tuple(found["healthy"]),
        plan.uncovered,
        plan.scenarios,
        plan.passed_over,
        planned,
        plan.planned_healthy,
        plan.facts,
        plan.seconds,
        plan.basis,
        plan.began,
    )


def _together(plans: Sequence[Trust]) -> Trust:
    """The plans of all clusters as one; a continued proof has written some of them twice."""
    return Trust(
        planned=tuple(dict.fromkeys(name for plan in plans for name in plan.planned)),
        planned_healthy=tuple(dict.fromkeys(name for plan in plans for name in plan.planned_healthy)),
        scenarios=tuple(dict.fromkeys(one for plan in plans for one in plan.scenarios)),
        passed_over={name: why for plan in plans for name, why in plan.passed_over.items()},
        uncovered={id: what for plan in plans for id, what in plan.uncovered.items()},
        facts={name: value for plan in plans for name, value in plan.facts.items()},
        seconds=sum(plan.seconds for plan in plans),
        basis="".join(dict.fromkeys(plan.basis for plan in plans)),
        began=next((plan.began for plan in reversed(plans) if plan.began or plan.seconds), 0.0),
    )


def _place(planned: Sequence[str], name: str) -> int:
    return planned.index(name) if name in planned else len(planned)


def write_page(trust: Trust, report: Path, known: int) -> Path:
    """Write the trust matrix into the folder of the report; returns its path. `known`: as in `page_of`."""
    report.mkdir(parents=True, exist_ok=True)
    page = report / PAGE
    page.write_text(page_of(trust, known).lstrip(), encoding="utf-8")
    return page


def page_of(trust: Trust, known: int = 0) -> str:
    """The trust matrix as HTML: sabotages × promises, what each scenario noticed, and its messages.

    `known`: how many sabotages there are; if fewer were tried, and not for want of what they need, the page says so.
    """
    partly = len(trust.planned) < known - len(trust.passed_over)
    promises = sorted({one.id for one in trust.heard})
    return _TEMPLATES.get_template("trust.html.j2").render(
        trust=trust,
        promises=promises,
        rows=[(proof, [_cell(proof, id) for id in promises]) for proof in trust.proofs],
        noticed_by=trust.noticed_by,
        covered={id: sum(one.id == id and one.noticed for one in trust.heard) for id in promises},
        colour=("error" if partly else "kept") if trust.passed else "broken",
        verdict=("As far as it was tried, yes" if partly else "Yes") if trust.passed else "Not yet",
        known=known if partly else 0,
        counted=counted,
        policy=Markup(POLICY_TAG),
        css=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
        when=time.strftime("%d %B %Y, %H:%M %Z"),
    )


def _cell(proof: Proof, id: str) -> Heard | str | None:
    """The worst reaction of a promise's scenarios; "other" if one failed without having to; None if none was tried."""
    heard = [one for one in proof.heard if one.id == id]
    if heard:
        return next((one for one in heard if not one.noticed), heard[0])
    return "other" if id in proof.others else None
