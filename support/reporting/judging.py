"""From what behave says of a scenario to our verdict on it.

behave's status alone is not enough: it knows no "inconclusive", and calls a scenario without a step passed.
"""

import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from support import sql
from support.reporting.verdict import Verdict, verdict_of
from support.waiting import describe

_UNWRITTEN = {
    "undefined": "no step is defined for",
    "pending": "the step is not implemented yet",
    "pending_warn": "the step is not implemented yet",  # behave lets it pass where a scenario is tagged @wip
}


@dataclass(frozen=True)
class Judgement:
    """A verdict, why it is not "passed", and the traceback behind it."""

    verdict: Verdict
    reason: str = ""
    trace: str = ""

    def and_then(self, error: BaseException, doing: str) -> "Judgement":
        """The same, after `error` came on top: what was not a failure is one now."""
        told = f"{doing} failed: {describe(error)}"
        if self.verdict.failed:
            return Judgement(self.verdict, f"{self.reason}\nand then {told}", self.trace)
        return Judgement(Verdict.ERROR, told, trace_of(error))


def judge(scenario: Any) -> Judgement | None:
    """The verdict on a `behave.model.Scenario` as it is now; None where the user stopped it half-way."""
    for step in scenario.all_steps:
        if step.status.has_failed() or step.status.name in _UNWRITTEN:
            return _step_failed(step)
    if scenario.hook_failed:
        return _hook_failed(scenario)
    if scenario.status.name == "cleanup_error":
        return Judgement(Verdict.ERROR, "cleaning up after the scenario failed")
    if scenario.should_skip:
        return _skipped(scenario.skip_reason)
    if not any(True for _ in scenario.all_steps):
        return Judgement(Verdict.INCONCLUSIVE, "inconclusive: the scenario has no step")
    return Judgement(Verdict.PASSED) if scenario.status.is_passed() else None


def raised_in(scenario: Any) -> BaseException | None:
    """The exception that ended a `behave.model.Scenario`: its failing step's, else its hooks'."""
    steps = (step.exception for step in scenario.all_steps if step.exception is not None)
    error: BaseException | None = next(steps, scenario.exception)
    return error


def trace_of(error: BaseException | None) -> str:
    """The traceback of an exception, the outermost call first; behave's own calls at its beginning are left out."""
    if error is None:
        return ""
    call = error.__traceback__
    while call is not None and call.tb_next is not None and _of_behave(call):
        call = call.tb_next
    return "".join(traceback.format_exception(type(error), error, call))


def _of_behave(call: TracebackType) -> bool:
    return str(call.tb_frame.f_globals.get("__name__")).partition(".")[0] == "behave"


def _hook_failed(scenario: Any) -> Judgement | None:
    error = scenario.exception
    if error is None:
        return None  # behave keeps every exception of a hook but Ctrl-C
    return Judgement(Verdict.ERROR, scenario.error_message or describe(error), trace_of(error))


def _step_failed(step: Any) -> Judgement | None:
    sentence = f"{step.keyword} {step.name}"
    if isinstance(step.exception, KeyboardInterrupt):
        return None
    if step.status.name in _UNWRITTEN:
        return Judgement(Verdict.ERROR, f"{_UNWRITTEN[step.status.name]}: {sentence}")
    if step.hook_failed or step.exception is None:
        return Judgement(Verdict.ERROR, step.error_message or f"a hook failed around: {sentence}")
    reason = str(step.exception).strip() or f"{type(step.exception).__name__} in: {sentence}"
    verdict = verdict_of(step.exception)
    if verdict is Verdict.ERROR:
        reason = f"{type(step.exception).__name__}: {reason}"
    if isinstance(step.exception, sql.CORRUPTED):
        reason = f"the database reports corruption: {reason}"
    return Judgement(verdict, reason, trace_of(step.exception))


def _skipped(reason: str | None) -> Judgement:
    if reason:
        return Judgement(Verdict.SKIPPED, reason)
    return Judgement(Verdict.INCONCLUSIVE, "inconclusive: it was skipped without a reason")
