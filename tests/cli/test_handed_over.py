"""What steps need from earlier steps is known before a run: all of ours get it, and what is left out is found."""

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import step_code
from program import ROOT, Program, copy

from support.cli.behave_process import Planned, PlannedStep
from support.cli.handed_over import PROVIDED_BY, exchange, lacking, state_values
from support.cli.steps import steps

LEDGER = 'such as "Given 8 clients appending to a ledger through the write endpoint"'
MARKERS = "{count:d} markers are written at the same time, and looked for on every replica"
OWN = '''
from typing import Annotated

from behave import given, then, when
from support.engine.world import Context, Handover, World


class Sums(Handover):
    total: Annotated[int, "When it is summed"]
    parts: Annotated[list[int], "Given parts"]

    @property
    def first(self) -> int:
        return self.parts[0]


def sums(world: World) -> Sums:
    return world.handover(Sums)


@given("parts")
def parts(context: Context) -> None:
    """A hand-over by another name."""
    kept = sums(context.world)
    kept.parts = [1]


@when("it is summed")
def summed(context: Context) -> None:
    """Reads one value and sets another."""
    world, mine = context.world, context.world.handover(Sums)
    mine.total = sum(mine.parts)
    world.error = None


@then("the total is right")
def right(context: Context) -> None:
    """Reads both, one of them through a property, and an error in a helper."""
    _no_error(context.world)
    assert sums(context.world).total == sums(context.world).first


def _no_error(world: World) -> None:
    assert world.error is None
'''


@pytest.fixture(scope="module")
def planned() -> tuple[Planned, ...]:
    return step_code.scenarios()


@pytest.fixture
def own(tmp_path: Path) -> Mapping[str, PlannedStep]:
    file = tmp_path / "sum_steps.py"
    file.write_text(OWN)
    lines = {line: number for number, line in enumerate(OWN.splitlines(), 1)}
    return {
        name: PlannedStep("a.feature:1", f"{file}:{lines[f'def {name}(context: Context) -> None:']}", {})
        for name in ("parts", "summed", "right")
    }


def of(*taken: PlannedStep) -> Planned:
    return Planned("f", "s", "a.feature:1", frozenset(), taken)


def test_each_step_of_our_scenarios_gets_what_it_needs(planned: tuple[Planned, ...]) -> None:
    assert [f"{step.location}: {value.words}" for one in planned for step, value in lacking(one)] == []


def test_without_a_first_step_that_provides_something_nearly_every_scenario_lacks_it(
    planned: tuple[Planned, ...],
) -> None:
    cut = [replace(one, steps=one.steps[1:]) for one in planned if exchange(one.steps[0].function).provides]
    assert len(cut) > 100
    assert len([one for one in cut if any(lacking(one))]) > 0.9 * len(cut)


def test_what_a_step_needs_is_named_with_a_step_that_provides_it() -> None:
    (markers,) = (step for step in steps(Path("steps")) if step.wording == MARKERS)
    needs = exchange(f"{markers.file}:{markers.line}").needs
    assert [one.words for one in needs] == [f"operations of clients, {LEDGER}"]


def test_every_property_that_raises_missing_step_is_known() -> None:
    assert PROVIDED_BY.keys() == state_values().keys()
    raising = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "support").rglob("*.py")
        for text in [path.read_text(encoding="utf-8")]
        if "missing" in text or "MissingStep" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        if ast.unparse(node.exc.func) in ("missing", "MissingStep")
    }
    handovers = {one for one in raising if one.endswith("/handover.py")}
    assert raising - handovers == {"support/engine/world.py", "support/engine/experiment.py"}


def test_handovers_of_ones_own_are_followed(own: Mapping[str, PlannedStep]) -> None:
    assert list(lacking(of(own["parts"], own["summed"], own["right"]))) == []
    assert [(step, value.words) for step, value in lacking(of(own["summed"], own["right"]))] == [
        (own["summed"], 'parts, such as "Given parts"')
    ]
    assert [value.words for _, value in lacking(of(own["parts"], own["right"]))] == [
        'an attempt, such as "When an entry with plain text is stored"',
        'total, such as "When it is summed"',
    ]


def test_lint_and_the_catalogue_tell_it(tmp_path: Path) -> None:
    program: Program = copy(tmp_path)
    text = (
        "@minor\nFeature: Lag\n  @id.DA-01\n  Scenario: x\n    When 5 markers are written at the same time, and looked"
        " for on every replica\n    Then every replica showed each marker within 5 seconds\n"
    )
    listed = '[DA-01]\ncapability = "cluster"\npromise = "Replicas follow."\nseverity = "minor"\n'
    program.write_features({"cluster/a.feature": text, "promises.toml": listed})
    linted = program.run("lint")
    assert (linted.status, linted.err.splitlines()[-1]) == (1, "5 findings"), str(linted)
    at = "features/cluster/a.feature:5: "
    assert f"{at}no earlier step of the scenario provides operations of clients, {LEDGER}\n" in linted.out
    assert (
        f"{at}this step needs direct logins to every member, past the proxy; tag the scenario, or its feature, @members"
        in linted.out
    )
    wrong = text.replace("@minor", "@minor @members @prompt_replicas @schema @patroni")
    program.write_features({"cluster/a.feature": wrong, "promises.toml": listed})
    assert program.run("lint").err.splitlines()[-1] == "1 finding"
    given = "    Given 8 clients appending to a ledger through the write endpoint\n    When"
    program.write_features({"cluster/a.feature": wrong.replace("    When", given), "promises.toml": listed})
    right = program.run("lint")
    assert right.status == 0, str(right)
    shown = program.run("steps", "markers", "same", "time")
    assert "    needs: @schema @patroni @members @prompt_replicas\n" in shown.out, str(shown)
    assert f"    needs from an earlier step: operations of clients, {LEDGER}\n" in shown.out
