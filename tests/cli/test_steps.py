"""The step catalogue: read from the sources, searchable, and complete."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from behave.step_registry import registry
from program import ROOT, copy

from support import own_folder
from support.cli import step_uses
from support.cli import steps as catalogue
from support.cli.behave_process import CannotLoad
from support.cli.new import parameter_types

PARCELS = '''
Feature: Parcels
  Then whatever this says is a description.

  Background:
    Given a parcel

  Scenario: One that nobody weighs
    Then it is as heavy as before

  Rule: Parcels are weighed
    Background:
      Given a scale

    Scenario Outline: A parcel keeps its weight
      When the parcel is put on it <times> times
      And this is written down:
        """
        When it is dropped
        """
      Then it is as heavy as before
      But * is a step, too

      Examples:
        | times |
        | 2     |

  Rule: Parcels are sent
    Background:
      Given a stamp

    Scenario: A parcel arrives
      When the parcel is sent
      Then it is as heavy as before
'''
SOURCE = '''
from behave import given, step, then, when

@given("a healthy cluster")
def healthy(context):
    """All members run, and the leader leads."""

@when("the {role} crashes")
@then("the {role} crashes")
def crashes(context, role):
    ...

def not_a_step():
    """Says nothing of clusters."""
'''


@pytest.fixture
def steps(tmp_path: Path) -> tuple[catalogue.Step, ...]:
    (tmp_path / "member_steps.py").write_text(SOURCE)
    return catalogue.steps(tmp_path)


def test_each_wording_is_a_step(steps: tuple[catalogue.Step, ...]) -> None:
    assert [(step.keyword, step.wording) for step in steps] == [
        ("given", "a healthy cluster"),
        ("then", "the {role} crashes"),
        ("when", "the {role} crashes"),
    ]
    assert steps[0].meaning == "All members run, and the leader leads."
    assert (steps[0].file.name, steps[0].line) == ("member_steps.py", 5)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("HEALTHY", ["a healthy cluster"]),
        ("leads members", ["a healthy cluster"]),
        ("crashes when", ["the {role} crashes"]),
        ("member", ["a healthy cluster", "the {role} crashes", "the {role} crashes"]),
        ("nothing of it", []),
    ],
)
def test_a_search_finds_all_words_in_any_order(steps: tuple[catalogue.Step, ...], words: str, found: list[str]) -> None:
    assert [step.wording for step in catalogue.search(words, steps)] == found


@pytest.mark.parametrize("sentence", ["the leader crashes", "When the leader  crashes", "And the replica crashes"])
def test_a_sentence_of_a_scenario_finds_its_step(steps: tuple[catalogue.Step, ...], sentence: str) -> None:
    assert {step.wording for step in catalogue.search(sentence, steps)} == {"the {role} crashes"}


def test_the_catalogue_has_every_step_of_behave() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "behave", "--dry-run", "--no-summary", "-f", "steps.doc"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    known = [line.split("Location: ")[1] for line in shown.stdout.splitlines() if "Location: steps/" in line]
    assert known
    ours = [f"{step.file.relative_to(ROOT)}:{step.line}" for step in catalogue.steps(ROOT / "steps")]
    assert {location.split(":")[0] for location in known} == {location.split(":")[0] for location in ours}
    assert len(ours) == len(known)


def test_each_of_our_steps_has_a_docstring() -> None:
    silent = [f"{step.file.name}:{step.line}" for step in catalogue.steps(ROOT / "steps") if not step.meaning]
    assert silent == []


def test_a_docstring_stands_by_itself() -> None:
    """In a list of steps that were found, the step before it is another one."""
    refers = re.compile(r"(The same(?! member leads| member is)|As (above|before)|Likewise|Ditto|So |Also )")
    leaning = [
        f"{step.file.name}:{step.line}" for step in catalogue.steps(ROOT / "steps") if refers.match(step.meaning)
    ]
    assert leaning == []


def test_whole_words_come_first_and_wordings_before_docstrings(tmp_path: Path) -> None:
    texts = [("accounts are kept", "x"), ("a", "It counts."), ("b", "Of accounts."), ("the store counts", "x")]
    source = "".join(f"@given({text!r})\ndef f{n}(c):\n    {doc!r}\n" for n, (text, doc) in enumerate(texts))
    (tmp_path / "some_steps.py").write_text(source)
    found = catalogue.search("counts", catalogue.steps(tmp_path))
    assert [one.wording for one in found] == ["the store counts", "a", "accounts are kept", "b"]


def test_the_command_line_searches_it(tmp_path: Path) -> None:
    program = copy(tmp_path)
    found = program.run("steps", "ledger", "acknowledged")
    assert found.status == 0, str(found)
    assert "Then the ledger lost no acknowledged write\n" in found.out
    assert re.search(r"^    steps/\S+_steps\.py:\d+$", found.out, re.MULTILINE), str(found)
    assert program.run("steps", "kills", "idle").err.splitlines()[-1] == "1 step"
    unknown = program.run("steps", "interruption")
    assert unknown.status == 1
    assert unknown.complaints == [
        "accept: no step contains 'interruption'; similar words: interrupt, interrupts, interrupted "
        "(./accept steps lists them all)"
    ]
    apart = program.run("steps", "redis", "shards")
    assert apart.complaints == [
        "accept: no step contains all of 'redis', 'shards'; each is in some (./accept steps lists them all)"
    ]


def test_steps_are_read_from_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """behave names a step's place relative to where it was imported, and refuses the same step at another place."""
    file = tmp_path / "kind_steps.py"
    file.write_text(
        "from behave import given, register_type\nfrom support.vocabulary import Kind\n"
        'SIDE = Kind("side", ("left", "right"))\nregister_type(Side=SIDE)\n'
        '@given("the {side:Side} side")\ndef the_side(context, side): ...\n'
    )
    (step,) = catalogue.steps(tmp_path)
    assert set(step.kinds) == {"side"}
    monkeypatch.chdir(tmp_path)
    (same,) = catalogue.steps(Path())
    assert same.kinds == step.kinds
    assert same.kinds["side"] is step.kinds["side"]


@pytest.mark.parametrize(
    "registered",
    [
        'SIDE = Kind("side", ("left", "right"))\nregister_type(Side=SIDE)',
        'register_type(Side=Kind("side", ("left", "right")))',
        'SIDES = {"left": -1, "right": 1}\nregister_type(Side=Kind.of("side", SIDES))',
        'TYPES = {"Side": Kind("side", ("left", "right"))}\nregister_type(**TYPES)',
        'import behave\nbehave.register_type(Side=Kind("side", ("left", "right")))',
    ],
)
def test_the_values_of_a_kind_are_known_however_it_is_registered(
    tmp_path: Path, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "steps", {kind: [] for kind in registry.steps})  # the wording is always the same
    (tmp_path / "side_steps.py").write_text(
        "from behave import given, register_type\nfrom support.vocabulary import Kind\n"
        f'{registered}\n@given("the {{side:Side}} side is kept")\ndef the_side(context, side): ...\n'
    )
    (step,) = catalogue.steps(tmp_path)
    assert step.kinds["side"].values == ("left", "right")
    assert parameter_types([step]) == [{"name": "side:Side", "regexp": "right|left"}]


def test_a_kind_that_is_registered_inside_a_function_stays_unknown(tmp_path: Path) -> None:
    (tmp_path / "side_steps.py").write_text(
        "from behave import given, register_type\nfrom support.vocabulary import Kind\n"
        'def register(kind):\n    register_type(Side=kind)\nregister(Kind("side", ("left", "right")))\n'
        '@given("the {side:Side} side is left")\ndef the_side(context, side): ...\n'
    )
    (step,) = catalogue.steps(tmp_path)
    assert step.kinds == {}


def test_a_step_file_that_cannot_be_imported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """behave loads this one: to the files that it loads it gives the names of its decorators."""
    monkeypatch.setenv(own_folder.VARIABLE, str(tmp_path))
    (tmp_path / "side_steps.py").write_text(
        "from behave import register_type\nfrom support.vocabulary import Kind\n"
        'register_type(Side=Kind("side", ("left", "right")))\n'
        '@given("the {side:Side} side is open")\ndef the_side(context, side): ...\n'
    )
    (step,) = catalogue.steps(tmp_path)
    with pytest.raises(CannotLoad, match=r"side_steps\.py:4: NameError: name 'given' is not defined, in `@given\("):
        dict(step.kinds)


def test_our_own_steps_are_read_whether_they_were_imported_before_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("steps.failover.fault_steps")
    monkeypatch.chdir(ROOT)
    known = [step for step in catalogue.steps() if step.file == Path("steps/failover/fault_steps.py")]
    assert catalogue.function_at(known[0].file, module.step_healthy_cluster.__code__.co_firstlineno)
    assert any(step.kinds for step in known)


def test_the_sentences_of_a_scenario_begin_with_those_of_its_backgrounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv(own_folder.VARIABLE, str(tmp_path))
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "parcels.feature").write_text(PARCELS)
    (tmp_path / "features" / "unreadable.feature").write_text("Feature Parcels\n  Then it is as heavy as before\n")
    unweighed, weighed, sent = step_uses.uses_of("it is as heavy as before")
    assert [*map(str, unweighed)] == ["Given a parcel", "Then it is as heavy as before"]
    assert [*map(str, weighed)] == [
        "Given a parcel",
        "Given a scale",
        "When the parcel is put on it <times> times",
        "When this is written down:",
        "Then it is as heavy as before",
        "Then * is a step, too",
    ]
    assert [*map(str, sent)][:3] == ["Given a parcel", "Given a stamp", "When the parcel is sent"]
    assert [*step_uses.uses_of("the parcel is put on it {times:d} times")] == [weighed]
    assert step_uses.keywords_of("this is written down:") == "When"
