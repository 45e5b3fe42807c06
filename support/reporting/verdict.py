"""How a scenario ended, what it measured, and which exception means which verdict."""

import enum
from dataclasses import dataclass

from support import sql
from support.errors import Inconclusive, NotAvailable
from support.reporting.scenario import Scenario


class Verdict(enum.StrEnum):
    """The end of one scenario."""

    PASSED = "passed"
    """The promise was seen to hold."""
    BROKEN = "broken"
    """The promise was seen not to hold: an assertion failed, or the database told that its data are corrupted."""
    INCONCLUSIVE = "inconclusive"
    """The scenario ran and saw no evidence either way. Counts as a failure."""
    ERROR = "error"
    """The suite or its surroundings failed, not the promise. Counts as a failure."""
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
    """What an exception out of a step says of the promise. That the database is corrupted breaks any."""
    if isinstance(error, (AssertionError, *sql.CORRUPTED)):
        return Verdict.BROKEN
    if isinstance(error, Inconclusive):
        return Verdict.INCONCLUSIVE
    if isinstance(error, NotAvailable):
        return Verdict.SKIPPED
    return Verdict.ERROR


@dataclass(frozen=True)
class Measure:
    """A figure that a scenario measured. `limit` is the one in force, None where there is none."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def figure(self) -> str:
        """The value as people read it."""
        return f"{_readable(self.value)} {self.unit}"

    @property
    def allowed(self) -> str:
        """The limit in force; empty where there is none."""
        return f"{_readable(self.limit)} {self.unit}" if self.limit is not None else ""

    def __str__(self) -> str:
        return f"{self.name}: {self.figure}" + (f" (limit in force: {self.allowed})" if self.allowed else "")


def _readable(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(frozen=True)
class ScenarioResult:
    """What the journal keeps of one scenario."""

    scenario: Scenario
    verdict: Verdict
    reason: str = ""
    """Why it did not pass; empty when it did."""
    seconds: float = 0.0
    began: float = 0.0
    """Seconds since the epoch."""
    measures: tuple[Measure, ...] = ()
    trace: str = ""
    """The traceback of what ended it, where there was one."""

    @property
    def reason_in_a_line(self) -> str:
        """The reason for a table: without its line breaks."""
        return " ".join(self.reason.split())
