"""The rules of `accept lint`: each finds its mistake, and a good feature has no findings."""

from pathlib import Path

import pytest
from program import ROOT, copy

from support.cli.feature_files import read
from support.cli.lint import MOST_STEPS, check

GOOD = """
@critical
Feature: Readers find what writers stored
  Nobody trusts a store that forgets.

  Background:
    Given a store

  @id.DA-01 @redis @slow
  Scenario: A stored entry is read back
    Given an entry
    When it is stored
    Then it is read back within 5 seconds

  Rule: Deleted means gone
    @id.DA-02 @allure.label.owner:jo
    Scenario Outline: A deleted <thing> is not found
      Given a <thing>
      When it is deleted
      Then nothing is found

      Examples:
        | thing |
        | entry |
"""


def findings(tmp_path: Path, **features: str) -> list[str]:
    for name, text in features.items():
        (tmp_path / f"{name}.feature").write_text(text)
    outlines, unreadable = read(sorted(tmp_path.glob("*.feature")))
    return [str(one).removeprefix(f"{tmp_path}/") for one in (*unreadable, *check(outlines))]


def test_a_good_feature_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, good=GOOD) == []


@pytest.mark.parametrize(
    ("good", "bad", "found"),
    [
        ("@id.DA-01 ", "", "a.feature:10: a scenario needs exactly one id, such as @id.FO-01; this one has none"),
        ("@id.DA-01 ", "@id.DA-01 @id.DA-03 ", "exactly one id, such as @id.FO-01; this one has @id.DA-01, @id.DA-03"),
        ("@id.DA-01 ", "@id.DA-1 ", "@id.DA-1 is not a valid id; write it like @id.FO-01"),
        ("@critical", "", "a scenario or its feature needs a severity"),
        ("@redis", "@redsi", "unknown tag @redsi; did you mean @redis?"),
        (
            "@redis",
            "@xyzzy",
            "unknown tag @xyzzy; a tag is a capability, a severity, a suite or a cost",
        ),
        ("Then it is read back", "When it is read back", "a.feature:13: a second When; describe"),
        ("Then it is read back", "And it is read back", "no Then; the scenario claims nothing"),
        (
            "Given an entry\n",
            "Given an entry\n" + "    And another\n" * MOST_STEPS,
            "steps; use at most 8",
        ),
        ("Given an entry", "Given an entry at 10.0.0.1", "an address or a port in 'an entry at 10.0.0.1'"),
        ("Given an entry", "Given an entry on port 5432", "an address or a port"),
        ("Given an entry", "Given http://store", "a URL in"),
        ("When it is stored", "When INSERT INTO entries runs", "SQL (allowed only in a docstring)"),
        ("A deleted <thing> is not found", "A stored entry is read back", "is already used at"),
        ("Feature: Readers", "Feature Readers", "a.feature:3: expected"),
    ],
)
def test_each_mistake_is_found_at_its_line(tmp_path: Path, good: str, bad: str, found: str) -> None:
    assert good in GOOD
    all_found = findings(tmp_path, a=GOOD.replace(good, bad, 1))
    assert any(found in one for one in all_found), all_found


def test_feature_names_are_unique(tmp_path: Path) -> None:
    other = "@minor\nFeature: Readers find what writers stored\n  @id.DA-09\n  Scenario: x\n    Then y\n"
    (found,) = findings(tmp_path, a=GOOD, b=other)
    assert found.startswith("b.feature:1: the feature name 'Readers find what writers stored' is already used in")


def test_sql_is_allowed_in_a_docstring(tmp_path: Path) -> None:
    text = GOOD.replace(
        "When it is stored", 'When this runs\n      """\n      INSERT INTO entries VALUES (1)\n      """'
    )
    assert findings(tmp_path, a=text) == []


def test_the_command_finds_undefined_and_ambiguous_steps(tmp_path: Path) -> None:
    program = copy(tmp_path)
    good = "@minor\nFeature: Sums\n  @id.DA-01\n  Scenario: x\n    Given a sum\n    Then one and one are 2\n"
    listed = '[DA-01]\ncapability = "cluster"\npromise = "Sums are right."\nseverity = "minor"\n'
    program.write_features({"cluster/a.feature": good, "promises.toml": listed})
    assert program.run("lint").status == 0
    program.write_features({"cluster/a.feature": good.replace("DA-01", "DA-02"), "promises.toml": listed})
    unlisted = program.run("lint")
    assert unlisted.status == 1
    assert "features/cluster/a.feature:4: @id.DA-02 is not listed in features/promises.toml" in unlisted.out
    program.write_features({"cluster/a.feature": good.replace("a sum", "unheard of"), "promises.toml": listed})
    undefined = program.run("lint")
    assert undefined.status == 1
    assert "features/cluster/a.feature:5: undefined step 'Given unheard of'" in undefined.out
    (tmp_path / "steps" / "more_steps.py").write_text(
        "from behave import given\n@given('a {thing}')\ndef a(context, thing): ...\n@given('a big {thing}')\n"
        "def b(context, thing): ...\n"
    )
    ambiguous = program.run("lint")
    assert ambiguous.status == 1
    assert "steps/more_steps.py:4: AmbiguousStep" in ambiguous.out, ambiguous


def test_the_command_finds_steps_without_a_docstring_and_hooks_that_cannot_be_loaded(tmp_path: Path) -> None:
    program = copy(tmp_path)
    steps = "from behave import given, when\n@given('silence')\n@when('silence')\ndef silence(context): ...\n"
    (tmp_path / "steps" / "silent_steps.py").write_text(steps)
    silent = program.run("lint")
    assert silent.status == 1
    assert "steps/silent_steps.py:4: the step has no docstring, which is its entry in ./accept steps: " in silent.out
    assert silent.err.splitlines()[-1] == "1 finding", silent
    hooks = tmp_path / "environment.py"
    line = hooks.read_text(encoding="utf-8").count("\n") + 1
    with hooks.open("a", encoding="utf-8") as code:
        code.write("import nowhere_at_all\n")
    unloaded = program.run("lint")
    assert unloaded.status == 1
    expected = "ModuleNotFoundError: No module named 'nowhere_at_all', in `import nowhere_at_all`"
    assert unloaded.out.splitlines() == [f"environment.py:{line}: {expected}"], unloaded


def test_our_own_scenarios_have_no_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    outlines, unreadable = read(sorted(Path("features").rglob("*.feature")))
    assert outlines
    assert [str(one) for one in (*unreadable, *check(outlines))] == []
