"""Runs inside behave, called by environment.py: turns behave's models into verdicts and writes the journal.

behave's status alone is not enough for a verdict: it does not know "inconclusive", and a scenario without a step has
passed. allure-behave is patched in three places while it runs; everything else is put right in its results afterwards
(see `allure_results`)."""

import os
import platform
import re
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import allure_commons
from allure_behave import listener
from allure_behave.formatter import AllureFormatter
from allure_behave.listener import AllureListener

from support import sql
from support.errors import AcceptError, Inconclusive, LimitExceeded, NoRoom, PromiseBroken
from support.reporting.evidence import Redactor
from support.reporting.following import Teller
from support.reporting.journal import Journal
from support.reporting.live import Moment
from support.reporting.mistakes import in_report, step_of
from support.reporting.past import ALLURE_HISTORY, durations
from support.reporting.promises import sentence_of
from support.reporting.scenario import (
    Incident,
    Measure,
    Scenario,
    ScenarioResult,
    Verdict,
    has_never_come,
    is_final,
    scenario_of,
    verdict_of,
)
from support.reporting.tally import WORST_FIRST
from support.reporting.terminal import Progress
from support.waiting import describe, for_people

_FILE = re.compile(r'(?m)^(  File )"([^"<]+)"')
UNWRITTEN = {
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
    final: bool = False
    """A wrong result was seen, not just a limit exceeded."""
    also_broken: tuple[str, ...] = ()
    """The ids of further promises that are broken."""
    never_came: bool = False
    """Something that was waited for never came."""

    @classmethod
    def on(cls, error: BaseException, reason: str = "") -> "Judgement":
        """The judgement that an exception stands for."""
        promises = (error.promise,) if isinstance(error, PromiseBroken) else ()
        words = reason or describe(error)
        return cls(verdict_of(error), words, trace_of(error), is_final(error), promises, has_never_come(error))

    def and_then(self, error: BaseException) -> "Judgement":
        """This judgement, combined with an error of the cleanup after the scenario. The graver one counts, unless the
        error means that nothing before it is evidence.
        """
        if isinstance(error, NoRoom):
            return replace(Judgement.on(error), reason=f"{describe(error)}; so this proves nothing: {self.reason}")
        failed = verdict_of(error) is Verdict.ERROR
        later = Judgement.on(error, f"cleaning up after the scenario failed: {describe(error)}" if failed else "")
        if not self.verdict.failed:
            return later
        both = tuple(dict.fromkeys((*self.also_broken, *later.also_broken)))
        never_came = self.never_came or later.never_came
        if later._gravity < self._gravity:
            reason = f"{later.reason}\nand before that {self.reason}"
            return replace(later, reason=reason, also_broken=both, never_came=never_came)
        reason = f"{self.reason}\nand then {later.reason}"
        return replace(self, reason=reason, also_broken=both, never_came=never_came)

    @property
    def _gravity(self) -> tuple[int, bool]:
        """Smaller is graver."""
        return WORST_FIRST.index(self.verdict), not self.final


def judge(scenario: Any) -> Judgement | None:
    """The verdict on a `behave.model.Scenario` as it is now; None where the user interrupted it."""
    for step in scenario.all_steps:
        if step.status.has_failed() or step.status.name in UNWRITTEN:
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


def _judge_closed(scenario: Any, errors: Sequence[BaseException]) -> Judgement | None:
    """The verdict on a `behave.model.Scenario`, with what was raised while it was closed.

    Where the user interrupted it, or the closing of one that had passed, nothing but a wrong result counts: None if
    there is none.
    """
    judgement = judge(scenario)
    stopped = any(isinstance(one, KeyboardInterrupt) for one in errors)
    if judgement is None or (stopped and judgement.verdict is Verdict.PASSED):
        wrong = [one for one in errors if is_final(one)]
        if not wrong or any(isinstance(one, NoRoom) for one in errors):
            return None
        judgement, errors = Judgement(Verdict.PASSED), wrong
    for error in errors:
        if not isinstance(error, KeyboardInterrupt):
            judgement = judgement.and_then(error)
    return judgement


def raised_in(scenario: Any) -> BaseException | None:
    """The exception that ended a `behave.model.Scenario`: its failing step's, else its hooks'."""
    steps = (step.exception for step in scenario.all_steps if step.exception is not None)
    error: BaseException | None = next(steps, scenario.exception)
    return error


def count_instead(scenario: Any, error: Inconclusive) -> None:
    """Let that count in place of the exception that ended a `behave.model.Scenario`, unless a precondition failed."""
    for step in scenario.all_steps:
        if step.exception is not None and step.step_type != "given":
            step.exception = error


def trace_of(error: BaseException | None) -> str:
    """The traceback of an exception, the outermost call first; behave's own calls at its beginning are left out."""
    if error is None:
        return ""
    call = error.__traceback__
    while call is not None and call.tb_next is not None and _of_behave(call):
        call = call.tb_next
    told = "".join(traceback.format_exception(type(error), error, call))
    return _FILE.sub(lambda found: f'{found[1]}"{in_report(Path(found[2]))}"', told)


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
    if step.status.name in UNWRITTEN:
        return Judgement(Verdict.ERROR, f"{UNWRITTEN[step.status.name]}: {sentence}")
    if step.hook_failed or step.exception is None:
        return Judgement(Verdict.ERROR, step.error_message or f"a hook failed around: {sentence}")
    reason = for_people(str(step.exception)).strip() or f"{type(step.exception).__name__} in: {sentence}"
    if step.step_type == "given" and isinstance(step.exception, LimitExceeded):
        reason = f"inconclusive: a precondition does not hold: {reason}"
        return Judgement(Verdict.INCONCLUSIVE, reason, trace_of(step.exception))
    if verdict_of(step.exception) is Verdict.ERROR:
        reason = f"{type(step.exception).__name__}: {reason}"
        if not isinstance(step.exception, AcceptError):  # a mistake in code, probably
            reason += step_of(step.exception)
    if isinstance(step.exception, sql.CORRUPTED):
        reason = f"the database reports corruption: {reason}"
    return Judgement.on(step.exception, reason)


def _skipped(reason: str | None) -> Judgement:
    if reason:
        return Judgement(Verdict.SKIPPED, reason)
    return Judgement(Verdict.INCONCLUSIVE, "inconclusive: it was skipped without a reason")


class Recorder:
    """One run's verdicts, from its first scenario to its last."""

    def __init__(
        self,
        journal: Path,
        selected: Iterable[Any],
        *,
        redactor: Redactor | None = None,
        facts: Mapping[str, str] | None = None,
        required: Iterable[str] = (),
        progress: Progress | None = None,
        known_limits: Iterable[str] = (),
        capabilities: Mapping[str, str] | None = None,
        lost: Iterable[str] = (),
        fail_on_flaky: bool = False,
        told_in: Path | None = None,
    ) -> None:
        """`selected` are the `behave.model.Scenario`s that will run, `facts` the versions and settings under test,
        `required` the capabilities that the user demands, `known_limits` what the target is not configured to promise,
        `capabilities` those of the target: the reason for each that it lacks, and an empty text for the others; `lost`
        names those that it had in its last run; `told_in` is the file in which another process, which shows the
        progress of the whole run, reads what the running scenario does.
        """
        scenarios = [_scenario(one) for one in selected]
        self._selected = {one.key for one in scenarios}
        self._journal = Journal(journal)
        self._redactor = redactor or Redactor()
        self._progress = progress or Progress(len(scenarios), None, scenarios, durations(ALLURE_HISTORY))
        self._teller = Teller(told_in) if told_in else None
        self._began: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        """When each scenario began, on the monotonic clock, so that setting the clock changes no duration."""
        self._left_out: set[str] = set()
        self._results: dict[str, ScenarioResult] = {}
        self._unwritten: dict[str, tuple[BaseException, ...]] = {}
        """What was raised while a scenario was closed whose verdict could not be written yet."""
        self._troubled = False
        masked = {name: self._redactor.mask(value) for name, value in (facts or {}).items()}
        limits = [self._redactor.mask(one) for one in known_limits]
        lacking = {name: self._redactor.mask(why) for name, why in (capabilities or {}).items()}
        self._journal.begin(
            scenarios,
            masked,
            sorted(required),
            known_limits=limits,
            capabilities=lacking,
            lost=sorted(lost),
            fail_on_flaky=fail_on_flaky,
        )

    def started(self, model: Any) -> None:
        """before_scenario, first of all."""
        scenario = _scenario(model)
        self._began[scenario.key], self._begun[scenario.key] = time.time(), time.monotonic()
        if self._teller is not None:
            self._teller.begins(scenario)
        self._journal.started(scenario)
        self._progress.started(scenario)

    def observe(self, look: Callable[[], Moment | None]) -> None:
        """before_scenario: what tells, at any time, what the running scenario does."""
        self._progress.view.observe(look)
        if self._teller is not None:
            self._teller.observe(look)

    def left_out(self, model: Any) -> None:
        """before_scenario: it is not to run, and has no verdict: the cluster is no longer fit for it."""
        self._left_out.add(_scenario(model).key)

    def failing(self, model: Any) -> bool:
        """after_scenario: whether the scenario has failed, so that evidence should be collected."""
        judgement = judge(model)
        return judgement is not None and judgement.verdict.failed

    def ended(
        self,
        model: Any,
        measures: Sequence[Measure] = (),
        errors: Iterable[BaseException] = (),
        incident: Incident | None = None,
        known_limits: Sequence[str] = (),
        other_limits: Sequence[str] = (),
        missing: str = "",
    ) -> None:
        """after_scenario, last of all. `errors` were raised while its faults were healed and it was closed, `incident`
        is what these faults cost, `known_limits` is what was seen of what the cluster does not promise. For
        `other_limits` see `ScenarioResult`; `missing` says why the report lacks evidence of the failure, if it does."""
        scenario, raised = _scenario(model), tuple(errors)
        judgement = _judge_closed(model, raised)
        if judgement is None:
            return  # interrupted: it has no verdict
        if missing and judgement.verdict.failed:
            judgement = replace(judgement, reason=f"{judgement.reason}\n(evidence could not be attached: {missing})")
        self._unwritten[scenario.key] = raised
        self._record(scenario, judgement, tuple(measures), incident, tuple(known_limits), tuple(other_limits))
        del self._unwritten[scenario.key]

    def cleanup_failed(self, context: Any, function: Any, error: BaseException) -> None:
        """behave's `context.on_cleanup_error`: a clean-up that behave ran after the last hook failed."""
        model = context.scenario if "scenario" in context else None
        if model is None:
            self.trouble(error)
            return
        scenario = _scenario(model)
        known = self._results.get(scenario.key)
        before = Judgement(Verdict.PASSED)
        if known:
            before = Judgement(
                known.verdict, known.reason, known.trace, known.final, known.also_broken, known.never_came
            )
        self._record(scenario, before.and_then(error))

    def feature_ended(self, model: Any) -> None:
        """after_feature: record what behave knows and no hook saw, such as a hook that failed."""
        for one in model.walk_scenarios():
            scenario = _scenario(one)
            if scenario.key in self._selected - self._left_out:
                self._check_again(scenario, one, model)

    def _check_again(self, scenario: Scenario, model: Any, feature: Any) -> None:
        known = self._results.get(scenario.key)
        judgement = _judge_closed(model, self._unwritten.get(scenario.key, ()))
        if feature.hook_failed and feature.exception is not None and scenario.key not in self._began:
            reason = f"it never began: {feature.error_message}"
            judgement = Judgement(Verdict.ERROR, reason, trace_of(feature.exception))
        if judgement is not None and (known is None or (judgement.verdict.failed and not known.verdict.failed)):
            self._record(scenario, judgement)

    def trouble(self, error: BaseException) -> None:
        """before_all or after_all failed, or anything else that belongs to no scenario."""
        self._troubled = True
        self._journal.trouble(self._redactor.mask(describe(error)), self._redactor.mask(trace_of(error)))

    def finished(self, interrupted: bool = False, unfit: str = "") -> None:
        """after_all, last of all. `interrupted` is behave's `context.aborted`, which a before_all that failed sets too:
        that is trouble, not an interruption. `unfit` says why scenarios were left out, if any were."""
        if self._left_out:
            self._journal.left_out(sorted(self._left_out), self._redactor.mask(unfit))
        self._journal.end(interrupted=interrupted and not self._troubled)
        if self._teller is not None:
            self._teller.close()
        self._progress.close()

    def _record(
        self,
        scenario: Scenario,
        judgement: Judgement,
        measures: tuple[Measure, ...] = (),
        incident: Incident | None = None,
        known_limits: tuple[str, ...] = (),
        other_limits: tuple[str, ...] = (),
    ) -> None:
        known = self._results.get(scenario.key)
        began = known.began if known else self._began.get(scenario.key, time.time())
        now = time.monotonic()
        result = ScenarioResult(
            scenario=scenario,
            verdict=judgement.verdict,
            reason=self._redactor.mask(judgement.reason),
            seconds=known.seconds if known else now - self._begun.get(scenario.key, now),
            began=began,
            measures=known.measures if known else measures,
            trace=self._redactor.mask(judgement.trace),
            final=judgement.final,
            never_came=judgement.never_came,
            also_broken=judgement.also_broken,
            incident=known.incident if known else incident,
            known_limits=known.known_limits if known else known_limits,
            other_limits=known.other_limits if known else other_limits,
        )
        if self._teller is not None:
            self._teller.ended()
        self._journal.record(result)
        self._results[scenario.key] = result  # what could not be written is judged again when the feature has ended
        if known is None:
            self._progress.ended(result)
        else:
            self._progress.corrected(result)


def note_not_begun(
    path: Path,
    selected: Iterable[Any],
    error: BaseException,
    redactor: Redactor,
    required: Iterable[str] = (),
    fail_on_flaky: bool = False,
) -> None:
    """before_all failed before there was a recorder: the journal says why, and which scenarios did not begin.

    Another process may do them instead, so this one's entry has all that holds for the run. Raises OSError.
    """
    journal = Journal(path)
    journal.begin([_scenario(one) for one in selected], required=sorted(required), fail_on_flaky=fail_on_flaky)
    journal.trouble(redactor.mask(describe(error)), redactor.mask(trace_of(error)))
    journal.end()


def _scenario(model: Any) -> Scenario:
    """The facts of a `behave.model.Scenario`, with the sentence of its promise."""
    scenario = scenario_of(model)
    return replace(scenario, sentence=sentence_of(scenario.promise, Path(model.filename)))


def patch_allure() -> None:
    """Mend allure-behave 2.16 in this process. Call it before behave creates its formatters; calling twice is harmless.

    Three things cannot wait for the end of the run. A scenario below a `Rule:` is never announced to Allure, so it has
    no result, and a table or an attachment there ends the whole run with `KeyError: None`. The history of a scenario
    goes by the names of feature and scenario, so equal names hide each other. An attachment outside any scenario ends
    in that KeyError too.
    """
    AllureFormatter.rule = _announce_rule
    listener.scenario_history_id = _history_id
    AllureListener.attach_data = _attach_data


def tested_from() -> str:
    """The machine that runs the scenarios; the report may be rendered on another one."""
    return f"{platform.node()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _announce_rule(formatter: Any, rule: Any) -> None:
    formatter._wrap_scenario(rule.scenarios)


def _history_id(model: Any) -> str:
    return scenario_of(model).key


@allure_commons.hookimpl
def _attach_data(
    self: Any, body: str | bytes, name: str | None, attachment_type: object, extension: str | None
) -> None:
    reporter: Any = self.logger
    attach = reporter.attach_data if reporter._last_executable() else reporter.global_attach_data
    attach(listener.uuid4(), body, name=name, attachment_type=attachment_type, extension=extension)
