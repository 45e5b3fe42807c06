"""A scenario as the reports know it: what it is, how it ended, and what it measured.

Plain facts, taken from behave's model without importing behave."""

import enum
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import AliasChoices, Field

from support import sql
from support.errors import Inconclusive, LimitExceeded, UnhealthyCluster

SEVERITIES = ("blocker", "critical", "normal", "minor", "trivial")

EPICS = {
    "cluster": "Cluster",
    "sharding": "Sharding",
    "failover": "High availability",
    "isolation": "Isolation",
    "cache": "Cache",
    "security": "Security",
}
"""Suite -> how the report names it, in the order of the report."""


@dataclass(frozen=True)
class Scenario:
    """One scenario; of an outline, one row."""

    path: str
    """The feature file, from `features/` on."""
    feature: str
    name: str
    row: tuple[tuple[str, str], ...] = ()
    """The cells of an outline's row, by heading."""
    tags: tuple[str, ...] = ()
    """Its own tags first, then those that it inherits."""
    prose: str = ""
    """Its description, or its feature's: why the promise exists."""
    line: int = 0
    """Where it begins in the feature file; of an outline, its row."""
    sentence: str = ""
    """Its promise in one sentence; empty where the list of promises does not have it."""

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Its ids in the list of promises."""
        return tuple(tag.removeprefix("id.") for tag in self.tags if tag.startswith("id."))

    @cached_property
    def promise(self) -> str:
        """The id of its promise, or the scenario's own name where it has none."""
        return self.ids[0] if self.ids else self.name

    @property
    def title(self) -> str:
        """Its ids and its name."""
        return " ".join([*self.ids, self.name])

    @cached_property
    def suite(self) -> str:
        """The folder of the feature file: cluster, sharding, failover, isolation, cache, security."""
        return PurePath(self.path).parent.name

    @property
    def epic(self) -> str:
        return EPICS.get(self.suite, self.suite.capitalize())

    @cached_property
    def severity(self) -> str:
        """Its own severity, else the one that it inherits, else "normal"."""
        return next((tag for tag in self.tags if tag in SEVERITIES), "normal")

    @cached_property
    def key(self) -> str:
        """Identifies it across runs; made from the feature's path, the name and the row."""
        return hashlib.md5(repr((self.path, self.name, self.row)).encode(), usedforsecurity=False).hexdigest()


def scenario_of(model: Any) -> Scenario:
    """The facts of a `behave.model.Scenario`."""
    row = model._row
    prose = model.description or model.feature.description
    return Scenario(
        path=from_features(PurePath(model.filename)),
        feature=model.feature.name,
        name=model.name,
        row=tuple(zip(row.headings, row.cells, strict=True)) if row else (),
        tags=tuple(dict.fromkeys(_tags(model))),
        prose="\n".join(prose),
        line=model.line,
    )


def from_features(path: PurePath) -> str:
    """The path of a feature file, starting at the nearest `features/` folder above it; unchanged if there is none."""
    above = [at for at, part in enumerate(path.parts[:-1]) if part == "features"]
    return PurePath(*path.parts[above[-1] if above else 0 :]).as_posix()


def _tags(model: Any) -> Iterator[str]:
    """Its own tags first: behave's `effective_tags` is a set, so the nearest severity is lost there."""
    while model is not None:
        yield from map(str, model.tags)
        model = model.parent


class Verdict(enum.StrEnum):
    """The end of one scenario."""

    PASSED = "passed"
    """The promise was seen to hold."""
    BROKEN = "broken"
    """The promise was seen not to hold: an assertion failed, or the database reported corrupted data."""
    INCONCLUSIVE = "inconclusive"
    """The scenario ran and saw no evidence either way. Counts as a failure."""
    ERROR = "error"
    """The suite or its environment failed, which says nothing about the promise. Counts as a failure."""
    SKIPPED = "skipped"
    """The target lacks what the scenario needs; it did not run, and the reason says what is missing."""
    INTERRUPTED = "interrupted"
    """It began, and the run was stopped or killed before it ended. The journal has no result of it."""
    NOT_REACHED = "not reached"
    """The run ended before its turn came; the journal has no result of it."""

    @property
    def failed(self) -> bool:
        return self in (Verdict.BROKEN, Verdict.INCONCLUSIVE, Verdict.ERROR)


def verdict_of(error: BaseException) -> Verdict:
    """The verdict that an exception raised by a step stands for. Corrupted data break any promise."""
    if isinstance(error, (AssertionError, *sql.CORRUPTED)):
        return Verdict.BROKEN
    return Verdict.INCONCLUSIVE if isinstance(error, Inconclusive) else Verdict.ERROR


def has_never_come(error: BaseException) -> bool:
    """Whether the exception reports something that never came, which is more than late; see `ScenarioResult`."""
    return isinstance(error, UnhealthyCluster) or (isinstance(error, LimitExceeded) and error.facts.never_came)


def is_final(error: BaseException) -> bool:
    """Whether the exception reports a wrong result, which no rerun can undo: anything broken except a time limit."""
    return verdict_of(error) is Verdict.BROKEN and not isinstance(error, LimitExceeded)


@dataclass(frozen=True)
class Measure:
    """A figure that a scenario measured; `limit` is the limit in force, None where there is none."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    at_least: bool = False
    """The limit is the smallest value allowed, not the largest: of a throughput, or of a recall."""

    @property
    def within(self) -> bool:
        """Whether the limit is kept; true where there is none."""
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def used_up(self) -> float:
        """The share of its limit that the figure uses up; above 1 it is exceeded. 0 where there is no limit."""
        if not self.limit:
            return 0.0
        return self.limit / max(self.value, 1e-9) if self.at_least else self.value / self.limit

    @property
    def figure(self) -> str:
        """The value with its unit, rounded for people."""
        return f"{_readable(self.value)} {self.unit}".strip()

    @property
    def allowed(self) -> str:
        """The limit in force; empty where there is none."""
        return f"{_readable(self.limit)} {self.unit}".strip() if self.limit is not None else ""

    @property
    def bound(self) -> str:
        """The limit in words: "at most 30 s"; empty where there is none."""
        return f"{'at least' if self.at_least else 'at most'} {self.allowed}" if self.allowed else ""

    def __str__(self) -> str:
        return f"{self.name}: {self.figure}" + (f" (limit: {self.allowed})" if self.allowed else "")


def _readable(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(frozen=True)
class Incident:
    """What breaking the cluster cost its clients, in one scenario. None stands for what was not measured."""

    kind: str
    """What was done, without names: "the host of the leader crashes"."""
    fault: str
    """What was done, with names: all faults of the scenario."""
    at: float
    """When the first fault began; seconds since the epoch."""
    without_writes: float | None = None
    """The longest time without an acknowledged write, in seconds."""
    new_leader_after: float | None = None
    """Seconds from the fault until a different member took writes."""
    redundant_after: float | None = None
    """Seconds from the first fault until every member was seen to be healthy again, with all faults healed."""
    acknowledged: int | None = None
    """Writes that were acknowledged."""
    lost: int | None = None
    """Acknowledged writes that were not there afterwards."""
    unanswered: int | None = None
    """Writes whose client never learned how they ended."""
    limit: float | None = None
    """The longest time without writes that the scenario allows, in seconds."""
    planned: bool = False
    """Whether it was an orderly switchover."""
    redundant_after_repair: float | None = None
    """Seconds from the beginning of the last healing until every member was seen to be healthy again."""
    refused: int | None = None
    """Writes since the first fault that ended with an error."""
    lost_reach_back: float | None = None
    """Seconds from the acknowledgement of the oldest lost write until the fault."""
    until_healed: bool = False
    """Writes came back only once the faults were being healed: without that, they would have stopped for longer."""

    @property
    def exceeded(self) -> bool:
        """Whether writes stopped for longer than the scenario allows."""
        return self.without_writes is not None and self.limit is not None and self.without_writes >= self.limit


@dataclass(frozen=True)
class ScenarioResult:
    """How one scenario ended."""

    scenario: Scenario
    verdict: Verdict
    reason: str = ""
    """Why it did not pass; empty when it did."""
    seconds: float = 0.0
    began: float = 0.0
    """Seconds since the epoch."""
    measures: tuple[Measure, ...] = ()
    trace: str = ""
    """The traceback of the exception that ended it; empty where there was none."""
    final: bool = False
    """A result was wrong (a lost write, two writers, a stale read): a rerun cannot change the verdict."""
    never_came: Annotated[bool, Field(validation_alias=AliasChoices("never_came", "unreached"))] = False
    """What it waited for never came, or the cluster did not become healthy; other work on the machine is no excuse.

    Older journals call it "unreached".
    """
    also_broken: tuple[str, ...] = ()
    """The ids of further promises that were seen to be broken while it ran."""
    known_limits: tuple[str, ...] = ()
    """What the cluster does not promise, as it was seen while it ran."""
    other_limits: tuple[str, ...] = ()
    """Limits in force that are not what the scenario states, each with the reason: of the user's, or of its timing."""
    incident: Incident | None = None
    """What its faults cost; None if it injected none."""

    @property
    def seen(self) -> str:
        """The reason, for a reader who knows the verdict: without its word in front."""
        return self.reason.removeprefix(f"{self.verdict}: ")

    @property
    def reason_in_a_line(self) -> str:
        """`seen` without line breaks."""
        return " ".join(self.seen.split())
