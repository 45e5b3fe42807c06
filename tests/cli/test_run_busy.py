"""`accept run` on a machine that other programs keep busy: limits of time are not judged, everything else is."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from other_programs import busy_machine
from program import Program, copy, target

from support import sql
from support.engine.saturation import VARIABLE
from support.reporting.journal import read
from support.reporting.scenario import ScenarioResult, Verdict

FEATURE = """
@normal
Feature: Times
  @id.ZZ-00
  Scenario: Never
    Given a sum
    Then the door opens within 3 seconds

  @id.ZZ-01
  Scenario: Late
    Given a sum
    When 3 seconds pass
    Then it takes too long

  @id.ZZ-02
  Scenario: Wrong
    Given a sum
    When 3 seconds pass
    Then two members accepted writes

  @id.ZZ-03
  Scenario: Closed late
    Given a sum
    When 3 seconds pass
    Then it is closed too late
"""
STEPS = """
from behave import then
from support.errors import LimitExceeded, PromiseBroken
from support.waiting import NotYet, eventually

@then("the door opens within {seconds:d} seconds")
def opens(context, seconds):
    def probe():
        raise NotYet("it is closed")

    eventually(probe, within=seconds, subject="the door opens")

@then("it takes too long")
def late(context):
    raise LimitExceeded("it took 3 s (limit: 2 s)")

@then("two members accepted writes")
def wrong(context):
    raise PromiseBroken("SB-01", "two members accepted writes")

@then("it is closed too late")
def closed_late(context):
    def close():
        raise LimitExceeded("it closed after 3 s (limit: 2 s)")

    context.world.cleanup.callback(close)
"""


@pytest.fixture
def program(tmp_path: Path, postgres: sql.Endpoint) -> Program:
    made = copy(tmp_path / "project")
    made.variables = target(postgres)
    made.write_features({"cluster/times.feature": FEATURE})
    (made.project / "steps" / "late_steps.py").write_text(STEPS)
    return made


def ended(program: Program) -> Mapping[str, ScenarioResult]:
    assert (ran := program.run()).status == 1, str(ran)
    record = read(program.project / "allure-results" / "journal.jsonl")
    return {one.scenario.name: one for one in record.results}


def test_limits_of_time_are_not_judged_on_a_busy_machine(program: Program, tmp_path: Path) -> None:
    program.variables[VARIABLE] = ""  # it watches itself
    with busy_machine(tmp_path):
        found = ended(program)
    assert {name: one.verdict for name, one in found.items()} == {
        "Never": Verdict.INCONCLUSIVE,
        "Late": Verdict.INCONCLUSIVE,
        "Closed late": Verdict.INCONCLUSIVE,
        "Wrong": Verdict.BROKEN,
    }
    assert found["Late"].reason.startswith("inconclusive: it took 3 s (limit: 2 s), but in ")
    assert "late_steps.py" in found["Late"].trace, "where it was raised"
    attached = [one.read_text() for one in (program.project / "allure-results").glob("*-attachment.txt")]
    assert found["Late"].reason in attached
    assert found["Wrong"].final


def test_they_are_broken_where_nothing_else_used_the_machine(program: Program) -> None:
    assert {one.verdict for one in ended(program).values()} == {Verdict.BROKEN}
