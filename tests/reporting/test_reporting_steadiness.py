"""Runs that agree, and runs that do not."""

import io
from dataclasses import replace

from rich.console import Console

from support.reporting.journal import RunRecord
from support.reporting.scenario import Measure, Scenario, ScenarioResult, Verdict
from support.reporting.steadiness import changes, show

STEADY, FICKLE = (Scenario("cache/a.feature", "A", name, tags=("id.CD-01",)) for name in ("steady", "fickle"))


def run(*verdicts: Verdict) -> RunRecord:
    """A run of both scenarios; one without a verdict where too few are given."""
    results = [
        ScenarioResult(
            scenario, verdict, "" if verdict is Verdict.PASSED else "why", measures=(Measure("p95", 4, "ms"),)
        )
        for scenario, verdict in zip((STEADY, FICKLE), verdicts, strict=False)
    ]
    return RunRecord(selected=(STEADY, FICKLE), results=tuple(results))


def said(*records: RunRecord) -> tuple[bool, str]:
    text = io.StringIO()
    return show(records, Console(file=text, width=200)), text.getvalue()


def test_runs_that_agree() -> None:
    good = run(Verdict.PASSED, Verdict.BROKEN)
    assert changes([good, good]) == ()
    assert said(good, good) == (True, "2 runs of 2 scenarios: none changed its verdict\n")


def test_a_verdict_that_changed_is_told_with_the_evidence_of_both() -> None:
    good, bad = run(Verdict.PASSED, Verdict.PASSED), run(Verdict.PASSED, Verdict.BROKEN)
    steady, text = said(good, good, bad)
    assert not steady
    assert "changed: CD-01 fickle" in text
    assert "run 1: passed: p95: 4 ms" in text
    assert "run 3: broken: why; p95: 4 ms" in text
    assert "3 runs of 2 scenarios: 1 changed their verdict" in text


def test_no_verdict_is_another_verdict() -> None:
    (change,) = changes([run(Verdict.PASSED, Verdict.PASSED), run(Verdict.PASSED)])
    assert [str(end) for end in change.ends] == ["run 1: passed: p95: 4 ms", "run 2: not reached"]


def test_what_a_stopped_run_left_undone_is_no_other_verdict() -> None:
    good, stopped = run(Verdict.PASSED, Verdict.PASSED), replace(run(Verdict.PASSED), interrupted=True)
    assert changes([good, stopped]) == ()
    assert changes([good, replace(run(Verdict.BROKEN), interrupted=True)]), "what it judged counts"
