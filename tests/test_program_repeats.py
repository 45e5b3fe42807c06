"""`accept run --repeat`: do runs in random order agree?"""

import json
import re

import pytest
from program import Program, copy, target

from support import sql

FEATURE = """
@normal
Feature: {name}
  @id.ZZ-0{number}
  Scenario: {name} claims the first
    Given a sum
    Then one and one are 2

  @id.ZZ-1{number}
  Scenario: {name} claims the second
    Given a sum
    Then {claim}
"""
FICKLE = """
from pathlib import Path
from behave import then

@then("it is the first time")
def first_time(context):
    seen = Path("seen")
    known, _ = seen.exists(), seen.touch()
    assert not known, "it was so before"
"""


@pytest.fixture
def program(tmp_path_factory: pytest.TempPathFactory, postgres: sql.Endpoint) -> Program:
    made = copy(tmp_path_factory.mktemp("project"))
    made.variables = target(postgres)
    return made


def features(last_claim: str) -> dict[str, str]:
    claims = {"A": "one and one are 2", "B": "one and one are 2", "C": last_claim}
    return {
        f"cluster/{name}.feature": FEATURE.format(name=name, number=number, claim=claim)
        for number, (name, claim) in enumerate(claims.items())
    }


def orders(out: str) -> list[list[str]]:
    """The scenarios of each run, in the order in which they began."""
    begun = re.findall(r"^\[(\d+)/6\] (ZZ-\d\d)", out, re.MULTILINE)
    runs: list[list[str]] = []
    for number, id in begun:
        if number == "1":
            runs.append([])
        runs[-1].append(id)
    return runs


def test_runs_that_agree_in_an_order_that_the_seed_decides(program: Program) -> None:
    program.write_features(features("one and one are 2"))
    ended = program.run("--repeat", "3", "--shuffle", "--seed", "7")
    assert ended.status == 0, str(ended)
    assert ended.last_line == "3 runs of 6 scenarios: none changed its verdict"
    assert re.findall(r"run \d of 3, seed (\d)", ended.err) == ["7", "8", "9"]
    found = orders(ended.out)
    assert all(sorted(one) == ["ZZ-00", "ZZ-01", "ZZ-02", "ZZ-10", "ZZ-11", "ZZ-12"] for one in found), str(ended)
    assert len({tuple(one) for one in found}) > 1, "the order differs"
    assert orders(program.run("--shuffle", "--seed", "8").out) == [found[1]], "and can be had again"


def test_a_verdict_that_changes_is_told_and_fails_the_command(program: Program) -> None:
    program.write_features(features("it is the first time"))
    (program.project / "steps" / "fickle_steps.py").write_text(FICKLE)
    ended = program.run("--repeat", "2")
    said = " ".join(ended.out.split())
    assert ended.status == 1, str(ended)
    assert "changed: ZZ-12 C claims the second" in said, str(ended)
    assert "run 1: passed" in said, str(ended)
    assert "run 2: broken: it was so before" in said, str(ended)
    assert ended.last_line == "2 runs of 6 scenarios: 1 changed their verdict"


def test_what_failed_once_is_told_as_unsteady(program: Program) -> None:
    program.write_features(features("it is the first time"))
    (program.project / "steps" / "fickle_steps.py").write_text(FICKLE.replace("assert not known", "assert known"))
    ended = program.run("--rerun")
    said = " ".join(ended.out.split())
    assert ended.status == 0, str(ended)
    assert "1 failed; now once more" in ended.err
    assert "flaky: ZZ-12 C claims the second passed on the rerun; broken at first: it was so" in said
    assert ended.last_line == "6 passed, 0 failed, 0 skipped"
    results = [json.loads(one.read_text()) for one in (program.project / "allure-results").glob("*-result.json")]
    tries = sorted((one["start"], one["status"]) for one in results if one["name"] == "C claims the second")
    assert [status for _, status in tries] == ["failed", "passed"], "the evidence of both is in the report"
    assert len(results) == 7
    summary = (program.project / "allure-report" / "dashboard.html").read_text()
    assert "Flaky" in summary


def test_what_fails_again_stays_broken(program: Program) -> None:
    program.write_features(features("one and one are 3"))
    ended = program.run("--rerun")
    assert ended.status == 1, str(ended)
    assert "flaky" not in ended.out
    assert ended.last_line == "5 passed, 1 failed, 0 skipped"
