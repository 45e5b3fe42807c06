"""Limits by promise and measure: collected from the steps before anything runs, and held against the user's own."""

import ast
from pathlib import Path

import pytest
import step_code
from program import ROOT

from support.cli.preflight import limits_by_id
from support.engine.limits import UNITS, Stated, complaints, own_limit, stated_by

STEPS = """
@when("nothing")
def step_none(context): ...

@then("{share:d} in 100 {operations} took under {milliseconds:g} ms")
def step_percentile(context, share, operations, milliseconds):
    limit = context.world.limit(milliseconds, f"p{share}")

@then("the {event} takes less than {seconds:g} seconds, and finds {fraction:g}")
@then("another wording")
def step_two(context, event, seconds, fraction):
    use(context.world.limit(seconds, event, span), context.world.limit(fraction, "recall"))
"""
P95, RECALL = Stated("p95", 100, "milliseconds"), Stated("recall", 0.99, "fraction")
BY_ID = {
    "DQ-03": [RECALL, P95, P95],
    "FO-01": [Stated("leader", 30, "seconds")] * 2,
    "DT-01": [Stated("resolution", 30, "seconds"), Stated("resolution", 60, "seconds")],
    "SD-01": [Stated("shards", 32, "count"), Stated("spread", 10, "percent")],
    "CL-01": [],
}


def test_the_limits_of_a_step_are_read_from_its_source(tmp_path: Path) -> None:
    file = tmp_path / "some_steps.py"
    file.write_text(STEPS)
    assert stated_by(file, 2, {}) == ()
    assert stated_by(file, 5, {"share": 95, "operations": "reads", "milliseconds": 100}) == (P95,)
    for line in (9, 10, 11):
        found = stated_by(file, line, {"event": "loss of a standby", "seconds": 30.0, "fraction": 0.99})
        assert found == (Stated("loss-of-a-standby", 30, "seconds"), RECALL)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("PF-99", 1, "no scenario has the id PF-99"),
        ("DQ-30", 1, "no scenario has the id DQ-30; did you mean DQ-03?"),
        ("DQ-03", 200, 'DQ-03 states several limits; name one of "DQ-03.p95" (100 ms), "DQ-03.recall" (0.99)'),
        ("DT-01", 40, 'DT-01 states several limits; name one of "DT-01.resolution" (30 s or 60 s)'),
        ("DQ-03.p96", 1, 'the limits of DQ-03 are "DQ-03.p95", "DQ-03.recall"; did you mean "DQ-03.p95"?'),
        ("CL-01", 1, "no step of CL-01 states a limit"),
        ("CL-01.p95", 1, "no step of CL-01 states a limit"),
        ("DQ-03.recall", 1.5, "is 1.5: a share is at most 1"),
        ("SD-01.spread", 101, "a percentage is at most 100"),
        ("SD-01.shards", 31.5, "it is a whole number"),
    ],
)
def test_a_limit_that_replaces_none_or_several_is_told(key: str, value: float, words: str) -> None:
    (said,) = complaints({key: value}, BY_ID)
    assert said.startswith(f'[limits] "{key}"')
    assert words in said


@pytest.mark.parametrize("key", ["DQ-03.p95", "DQ-03.recall", "FO-01", "FO-01.leader", "DT-01.resolution"])
def test_a_limit_that_replaces_one_is_right(key: str) -> None:
    assert list(complaints({key: 1}, BY_ID)) == []


def test_the_limit_of_a_measure_goes_before_that_of_the_promise() -> None:
    limits = {"FO-01": 20.0, "DQ-03.p95": 200.0}
    assert own_limit(limits, ["DQ-03"], "p95") == ("DQ-03.p95", 200.0)
    assert own_limit(limits, ["DQ-03"], "recall") is None
    assert own_limit(limits, ["FO-01"], "leader") == ("FO-01", 20.0)
    assert own_limit({"GD-01.loss-of-a-standby": 3.0}, ["GD-01"], "loss of a standby") is not None


def test_limits_of_several_kinds_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = {id: {one.measure for one in limits} for id, limits in limits_by_id(step_code.scenarios()).items()}
    assert found["DQ-03"] == {"recall", "p95"}
    assert found["OU-01"] == {"staleness", "operation", "caching"}
    assert found["GD-01"] == {"loss-of-a-standby", "readers", "return"}
    assert found["SB-03"] == {"interruption", "return"}
    assert found["FO-06"] == {"switchover", "failover"}
    assert found["FO-04"] == {"failover", "hanging-start", "return"}
    assert found["DT-04"] == {"refusal", "read", "interruption", "leader", "failover"}
    assert found["RW-03"] == {"leave", "return"}


def test_every_limit_that_a_step_looks_up_can_be_read_from_its_source() -> None:
    """Its first argument is a parameter that says the unit, and its name is a text or made of parameters."""
    calls = [
        (file, node)
        for file in (ROOT / "steps").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "limit"
    ]
    assert len(calls) > 30
    for file, call in calls:
        stated, measure, *_ = call.args
        assert isinstance(stated, ast.Name), f"{file}:{call.lineno}"
        assert stated.id in UNITS, f"{file}:{call.lineno}"
        assert isinstance(measure, ast.Constant | ast.Name | ast.JoinedStr), f"{file}:{call.lineno}"
    inside = [file for file in (ROOT / "support").rglob("*.py") if "world.limit(" in file.read_text()]
    # the template of a user's own folder has steps, too
    assert [file.name for file in inside if file.parent.name != "steps"] == ["limits.py"], (
        "only steps look limits up; their functions are given them"
    )
