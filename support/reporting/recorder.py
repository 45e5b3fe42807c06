"""Keeps the journal while behave runs: what environment.py calls, with behave's own objects."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.reporting.journal import Journal
from support.reporting.judging import Judgement, judge, trace_of
from support.reporting.progress import Progress
from support.reporting.promises import sentence_of
from support.reporting.redaction import Redactor
from support.reporting.scenario import Scenario, scenario_of
from support.reporting.verdict import Measure, ScenarioResult, Verdict
from support.waiting import describe


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
    ) -> None:
        """`selected` are the `behave.model.Scenario`s that shall run; `facts` are versions and settings of all that
        is tested; `required` are the capabilities that the user declared; `known_limits` what the target is not
        configured to promise."""
        scenarios = [_scenario(one) for one in selected]
        self._selected = {one.key for one in scenarios}
        self._journal = Journal(journal)
        self._redactor = redactor or Redactor()
        self._progress = progress or Progress(len(scenarios))
        self._began: dict[str, float] = {}
        self._results: dict[str, ScenarioResult] = {}
        self._troubled = False
        masked = {name: self._redactor.mask(value) for name, value in (facts or {}).items()}
        limits = [self._redactor.mask(one) for one in known_limits]
        self._journal.begin(scenarios, masked, sorted(required), known_limits=limits)

    def started(self, model: Any) -> None:
        """before_scenario, first of all."""
        scenario = _scenario(model)
        self._began[scenario.key] = time.time()
        self._journal.started(scenario)
        self._progress.started(scenario)

    def failing(self, model: Any) -> bool:
        """after_scenario: whether evidence of a failure is wanted."""
        judgement = judge(model)
        return judgement is not None and judgement.verdict.failed

    def ended(self, model: Any, measures: Sequence[Measure] = (), error: BaseException | None = None) -> None:
        """after_scenario, last of all. `error` is what the hook itself met, such as a world that did not close."""
        judgement = judge(model)
        if judgement is None:
            return  # stopped half-way: no verdict is the truth
        if error is not None:
            judgement = judgement.and_then(error, "cleaning up after the scenario")
        self._record(_scenario(model), judgement, tuple(measures))

    def cleanup_failed(self, context: Any, function: Any, error: BaseException) -> None:
        """behave's `context.on_cleanup_error`: a clean-up that was left to behave failed, after the last hook."""
        model = context.scenario if "scenario" in context else None
        if model is None:
            self.trouble(error)
            return
        scenario = _scenario(model)
        known = self._results.get(scenario.key)
        before = Judgement(known.verdict, known.reason, known.trace) if known else Judgement(Verdict.PASSED)
        self._record(scenario, before.and_then(error, "cleaning up after the scenario"))

    def feature_ended(self, model: Any) -> None:
        """after_feature: what behave knows of its scenarios and no hook saw, such as a hook that failed itself."""
        for one in model.walk_scenarios():
            scenario = _scenario(one)
            if scenario.key in self._selected:
                self._look_again(scenario, one, model)

    def _look_again(self, scenario: Scenario, model: Any, feature: Any) -> None:
        known = self._results.get(scenario.key)
        judgement = judge(model)
        if feature.hook_failed and feature.exception is not None and scenario.key not in self._began:
            reason = f"it never began: {feature.error_message}"
            judgement = Judgement(Verdict.ERROR, reason, trace_of(feature.exception))
        if judgement is not None and (known is None or (judgement.verdict.failed and not known.verdict.failed)):
            self._record(scenario, judgement)

    def trouble(self, error: BaseException) -> None:
        """before_all or after_all failed, or anything else that belongs to no scenario."""
        self._troubled = True
        self._journal.trouble(self._redactor.mask(describe(error)), self._redactor.mask(trace_of(error)))

    def finished(self, interrupted: bool = False) -> None:
        """after_all, last of all. `interrupted` is behave's `context.aborted`, which a before_all that failed sets too:
        that is trouble, not an interruption."""
        self._journal.end(interrupted=interrupted and not self._troubled)
        self._progress.close()

    def _record(self, scenario: Scenario, judgement: Judgement, measures: tuple[Measure, ...] = ()) -> None:
        known = self._results.get(scenario.key)
        now = time.time()
        began = known.began if known else self._began.get(scenario.key, now)
        result = ScenarioResult(
            scenario=scenario,
            verdict=judgement.verdict,
            reason=self._redactor.mask(judgement.reason),
            seconds=known.seconds if known else now - began,
            began=began,
            measures=known.measures if known else measures,
            trace=self._redactor.mask(judgement.trace),
        )
        self._results[scenario.key] = result
        self._journal.record(result)
        if known is None:
            self._progress.ended(result)
        else:
            self._progress.corrected(result)


def _scenario(model: Any) -> Scenario:
    """The facts of a `behave.model.Scenario`, with what its promise says."""
    scenario = scenario_of(model)
    return replace(scenario, sentence=sentence_of(scenario.promise, Path(model.filename)))
