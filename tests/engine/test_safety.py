"""A lost write is not hidden by something that was only late, or could not be judged, earlier in the scenario."""

import ast
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
from program import ROOT
from small_suites import run_feature

from support.cli.steps import steps
from support.engine.safety import safety_judged
from support.errors import Inconclusive, LimitExceeded
from support.reporting.scenario import Verdict, is_final

SCENARIO = """
Feature: Ledgers
  Scenario: A ledger
    Given all is well
    {step}
    When the fault is healed
    Then the cluster is fast again
    And the ledger lost {lost:d} writes
"""
HOOKS = """
from types import SimpleNamespace
from behave import given, then, when
from support.engine.safety import safety, wrong_results
from support.errors import Inconclusive

def note(words):
    with open("done", "a") as done:
        print(words, file=done)

@given("nobody can write")
def too_long(context):
    raise LimitExceeded("no client got through")

@when("the fault is healed")
def healed(context):
    note("healed by the step")

@then("the cluster is fast again")
def fast(context):
    note("fast")

@then("the ledger lost {lost:d} writes")
@safety
def ledger(context, lost):
    note("judged")
    assert not lost, f"{lost} acknowledged writes are lost"

class Experiment:
    def heal(self):
        note("healed")

def in_before_scenario(context, scenario):
    context.world = SimpleNamespace(experiment_or_none=Experiment())

def in_after_scenario(context, scenario):
    return wrong_results(context, scenario, context._runner.step_registry)
"""


@pytest.mark.parametrize(
    ("step", "before"),
    [
        ("Then it takes too long", "no leader after 31 s (limit: 30 s)"),
        ("Then there was no evidence", "inconclusive: nobody wrote"),
        ("Then the surroundings break", "OSError: the disk is full"),
    ],
)
def test_a_lost_write_counts_whatever_failed_before(tmp_path: Path, step: str, before: str) -> None:
    ran = run_feature(tmp_path, SCENARIO.replace("{step}", step).replace("{lost:d}", "2"), hooks=HOOKS)
    [result] = ran.record.results
    assert (result.verdict, result.final) == (Verdict.BROKEN, True)
    assert result.reason.startswith(f"2 acknowledged writes are lost\nand before that {before}")
    assert (tmp_path / "done").read_text().splitlines() == ["healed", "judged"], "not the steps in between"


def test_a_scenario_that_was_only_late_stays_so(tmp_path: Path) -> None:
    text = SCENARIO.replace("{step}", "Then it takes too long").replace("{lost:d}", "0")
    [result] = run_feature(tmp_path, text, hooks=HOOKS).record.results
    assert (result.verdict, result.final, result.reason) == (
        Verdict.BROKEN,
        False,
        "no leader after 31 s (limit: 30 s)",
    )
    assert "judged" in (tmp_path / "done").read_text()


@pytest.mark.parametrize("step", ["Given nobody can write", "Then it is 7"], ids=["a precondition", "a wrong result"])
def test_nothing_is_judged_after_a_precondition_or_a_wrong_result(tmp_path: Path, step: str) -> None:
    text = SCENARIO.replace("{step}", step).replace("{lost:d}", "2")
    [result] = run_feature(tmp_path, text, hooks=HOOKS).record.results
    assert "lost" not in result.reason
    assert not (tmp_path / "done").exists()


def test_it_is_judged_once_where_nothing_failed(tmp_path: Path) -> None:
    text = SCENARIO.replace("{step}", "Then it is 42").replace("{lost:d}", "0")
    [result] = run_feature(tmp_path, text, hooks=HOOKS).record.results
    assert result.verdict is Verdict.PASSED
    assert (tmp_path / "done").read_text().splitlines() == ["healed by the step", "fast", "judged"]


def raising(error: Exception) -> Callable[[], NoReturn]:
    def judge() -> NoReturn:
        raise error

    return judge


LATE, LOST = LimitExceeded("31 s"), AssertionError("2 writes are lost")


@pytest.mark.parametrize(
    ("failure", "judged", "counts"),
    [
        (LATE, LOST, LOST),
        (Inconclusive("nobody wrote"), LOST, LOST),
        (None, LOST, LOST),
        (None, LATE, LATE),
        (LATE, LimitExceeded("61 s"), LATE),
        (LATE, Inconclusive("nobody wrote"), LATE),
        (LATE, OSError("no answer"), LATE),
        (AssertionError("two writers"), LOST, None),
    ],
)
def test_only_a_wrong_result_counts_instead_of_what_failed_before(
    failure: Exception | None, judged: Exception, counts: Exception | None
) -> None:
    with pytest.raises(Exception) as raised, safety_judged(raising(judged)):  # noqa: PT011, PT012 - each of them
        if failure is not None:
            raise failure
    assert raised.value is (counts or failure)


def test_each_of_several_ledgers_is_judged() -> None:
    with pytest.raises(AssertionError) as raised, ExitStack() as each:  # noqa: PT012 - it ends here
        for error in (LOST, LATE):
            each.enter_context(safety_judged(raising(error)))
    assert raised.value is LOST
    assert is_final(raised.value)


ABOUT = re.compile(r"lost|exactly once|anomaly|on neither|acknowledged entry|acknowledged change|issued twice")
SPEED = re.compile("the cache served the lost write for no more than")
"""That is a limit of time, and the only step after the fault."""


def test_every_step_about_lost_writes_judges_safety() -> None:
    """And none of those that do needs a table or a text, which behave gives to the steps that it carries out itself."""
    found = {one.wording: one for one in steps() if one.keyword == "then" and ABOUT.search(one.wording)}
    assert len(found) > 8
    for wording, step in found.items():
        if not SPEED.match(wording) and "shard" not in wording and "workers together" not in wording:
            lines = step.file.read_text(encoding="utf-8").splitlines()
            assert "@safety" in lines[step.line - 3 : step.line + 3], f"{step.file}:{step.line}: {wording}"
    for file in ROOT.glob("steps/**/*.py"):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and "safety" in map(ast.unparse, function.decorator_list):
                assert not re.search(r"context\.(table|text)", ast.unparse(function)), function.name
