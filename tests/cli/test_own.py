"""Features and steps in a folder of the user's own: made, checked and run, and what is wrong with it is told."""

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as Xml
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from behave.step_registry import registry
from documents import examples
from program import Program, copy, target

from support import own_folder, places, sql
from support.cli import lint, new, step_advice, steps, undefined_names
from support.cli.own import findings
from support.errors import UsageError
from support.own_folder import OwnFolder
from support.sabotage.catalogue import SABOTAGES
from support.sql import Endpoint

ALL_STEPS = steps.steps()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


@pytest.fixture
def own(tmp_path: Path) -> OwnFolder:
    new.make(tmp_path / "mine")
    return OwnFolder(tmp_path / "mine")


@pytest.fixture
def given(own: OwnFolder, monkeypatch: pytest.MonkeyPatch) -> OwnFolder:
    monkeypatch.setenv(own_folder.VARIABLE, str(own.directory))
    return own


def test_the_new_folder_is_complete_and_nothing_is_overwritten(own: OwnFolder) -> None:
    made = {str(path.relative_to(own.directory)) for path in own.directory.rglob("*") if path.is_file()}
    assert {"accept.toml", ".gitignore", "features/promises.toml", ".github/workflows/accept.yml"} <= made
    assert {".gitlab-ci.yml", "features/on-call.toml", "sabotages.py"} <= made
    texts = [path.read_text(encoding="utf-8") for path in own.directory.rglob("*") if path.is_file()]
    assert [text for text in texts if re.search("@[A-Z]+@", text)] == []
    for file in own.directory.rglob(".idea/*"):
        Xml.parse(file)
    own.settings.write_text("# mine\n", encoding="utf-8")
    (own.directory / "README.md").unlink()
    with pytest.raises(UsageError, match=r"already has .*accept\.toml.*; nothing was written"):
        new.make(own.directory)
    assert own.settings.read_text(encoding="utf-8") == "# mine\n"
    assert not (own.directory / "README.md").exists()


def test_what_its_readme_shows_works(given: OwnFolder) -> None:
    document = given.directory / "README.md"
    for example in examples("gherkin", "toml", among=(document,)):
        assert example.path is not None
        file = given.directory / example.path
        file.parent.mkdir(exist_ok=True)
        file.write_text((file.read_text() if file.exists() else "") + example.text)
    assert [*lint.lint(own=given)] == []
    (broken,) = re.findall(r"prove ([\w-]+) --also OW-02", document.read_text())
    assert "RC-01" in SABOTAGES[broken].ids, "its own scenario has the same steps"
    assert "Redis is a primary" in (given.features / "cache" / "logins.feature").read_text()


@pytest.mark.parametrize(
    ("file", "schema"),
    [(".github/workflows/accept.yml", "vendor.github-workflows"), (".gitlab-ci.yml", "vendor.gitlab-ci")],
)
def test_its_pipelines_are_as_their_schemas_say(own: OwnFolder, file: str, schema: str) -> None:
    linter = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", schema, own.directory / file]
    assert subprocess.run(linter, capture_output=True, timeout=60).returncode == 0


def test_the_variable_that_names_the_folder_may_be_relative(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """To where the program was started, as the option is; the program itself works in the project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(own_folder.VARIABLE, "checks")
    assert own_folder.given() == OwnFolder(places.STARTED_IN / "checks")


def test_no_folder_is_made_inside_the_project() -> None:
    with pytest.raises(UsageError, match="inside this project"):
        new.make(places.ROOT / "features" / "mine")


def test_the_editor_knows_every_parameter_of_every_step(own: OwnFolder) -> None:
    """VS Code's extension shows a step with an unknown parameter as an error, and completes none of them."""
    settings = json.loads((own.directory / new.WORKSPACE).read_text(encoding="utf-8"))["settings"]
    known = {one["name"]: one["regexp"] for one in settings["cucumber.parameterTypes"]}
    catalogue = (*ALL_STEPS, *steps.own_steps(own))
    used = {inside for step in catalogue for inside in re.findall(r"\{([^{}]+)\}", step.wording)}
    assert len(used) > 40
    assert used <= known.keys()
    assert re.fullmatch(known["seconds:g"], "0.5")
    assert not re.fullmatch(known["count:d"], "some")
    assert re.fullmatch(known["role:Role"], "the leader")


def test_the_editor_learns_of_new_steps(given: OwnFolder) -> None:
    file, settings = given.directory / "steps" / "more_steps.py", given.directory / new.WORKSPACE
    unchanged = f"{settings} was up to date already: nothing was changed"
    assert new.update_editor(given.directory) == unchanged
    file.write_text('from behave import given\n@given("a {size:w} bird")\ndef bird(context, size): ...\n')
    assert new.update_editor(given.directory) == f"{settings} was updated; new parameters: size:w"
    assert '"size:w"' in settings.read_text(encoding="utf-8")
    assert new.update_editor(given.directory) == unchanged
    settings.write_text(settings.read_text(encoding="utf-8").replace('"\\\\w+"', '"x"'), encoding="utf-8")
    assert new.update_editor(given.directory) == f"{settings} was updated; parameters with other values: size:w"
    file.unlink()
    assert new.update_editor(given.directory) == f"{settings} was updated; parameters removed: size:w"
    settings.unlink()
    assert new.update_editor(given.directory) == f"{settings} was written"


def test_a_path_that_goes_up_leads_to_the_same_folder(own: OwnFolder) -> None:
    """Else a file of the folder, whose path is compared with the folder's, would not seem to be in it."""
    assert own_folder.own_folder(own.directory / "steps" / "..", places.ROOT) == own


def test_the_new_folder_has_no_clash(own: OwnFolder) -> None:
    assert list(findings(own)) == []


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("features/cache/redis.feature", "Feature: A\n", "redis.feature is already a feature of the suite"),
        ("features/promises.toml", '[FO-01]\ncapability = "x"\n', "capability = 'x'"),
        (
            "features/promises.toml",
            '[FO-01]\ncapability = "failover"\npromise = "A."\nseverity = "minor"\n',
            "promises.toml:1: FO-01 is already a promise of the suite",
        ),
        ("steps/redis.py", "", "it hides the module 'redis'"),
        ("steps/support.py", "", "it hides the module 'support'"),
        ("steps/json.py", "", "it hides the module 'json'"),
        (
            "steps/a_steps.py",
            'from behave import given\n\n@given("a healthy cluster")\ndef a(context): ...\n',
            "a_steps.py:4: the wording 'a healthy cluster' is already that of steps/",
        ),
        (
            "steps/a_steps.py",
            'from behave import then\n\n@then("another member leads within 3 seconds")\ndef a(context): ...\n',
            "is already that of steps/failover/recovery_steps.py",
        ),
    ],
)
def test_what_clashes_with_the_project_is_told(own: OwnFolder, file: str, text: str, words: str) -> None:
    path = own.directory / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert [one for one in findings(own) if words in str(one)] != [], [str(one) for one in findings(own)]


STEPS = """
import os
from pathlib import Path as P
from behave import given

COUNT = len(os.sep)

class Kept:
    first = 1
    second = [one for one in range(first)]

    def kept(self):
        return super().__init__(), __class__, Kept

def helper(value, *rest, **named):
    global MADE
    MADE = [one for one in rest if (last := one)]
    def inner():
        return value, named, last, later()
    try:
        return inner, {key: P(key) for key in named}
    except OSError as error:
        return error

def later() -> "list[Unknown]":
    match MADE:
        case [head, *tail]:
            return lambda *, by=COUNT: (head, tail, by, __file__)

@given("nothing")
def step(context):
    helper(context)
"""


def test_names_that_nothing_defines_are_told(own: OwnFolder) -> None:
    file = own.directory / "steps" / "a_steps.py"
    file.write_text(STEPS)
    assert list(undefined_names.findings(own)) == []
    file.write_text(STEPS.replace("    helper(context)", "    helper(xyzzy)\n    undefined_function(xyzzy)"))
    found = [f"{one.line}: {one.text}" for one in undefined_names.findings(own)]
    last = STEPS.count("\n")
    assert found == [
        f"{last}: the name 'xyzzy' is defined nowhere",
        f"{last + 1}: the name 'undefined_function' is defined nowhere",
    ]
    file.write_text(STEPS.replace("len(os.sep)", "lne(os.sep)"))
    assert [one.text for one in undefined_names.findings(own)] == [
        "the name 'lne' is defined nowhere; did you mean len?"
    ]
    file.write_text(f"from os import *\n{STEPS}getcwd()\n")
    assert list(undefined_names.findings(own)) == [], "nobody knows what it imports"
    file.write_text("def step(context:\n")
    assert list(undefined_names.findings(own)) == []


def test_a_wording_that_only_looks_alike_is_no_clash(own: OwnFolder) -> None:
    """`the host of {role:Role} crashes` has no role "the router"; and a When is not a Then."""
    text = 'from behave import then, when\n\n@when("the host of the router crashes")\n@then("a healthy cluster")\n'
    (own.directory / "steps" / "a_steps.py").write_text(f"{text}def a(context): ...\n")
    assert list(findings(own)) == []


@pytest.mark.parametrize(
    ("sentence", "nearest", "file"),
    [
        ("When a switchover to a replica is started", "a switchover to", "steps/failover/"),
        ("Then each client was interrupted for less than 5 seconds", "interrupt", "steps/failover/"),
        ("When Redis reprots its state", "Redis reports its state", "steps/cache/redis_steps.py"),
        ("Then no acknowledged write is missing", "acknowledged", "steps/"),
    ],
)
def test_an_undefined_step_gets_the_nearest_wordings_and_its_file(sentence: str, nearest: str, file: str) -> None:
    capability = file.removeprefix("steps/").partition("/")[0] or "failover"
    advice = step_advice.advice(sentence, f"features/{capability}/x.feature:3", ALL_STEPS)
    near = step_advice.nearest_steps(sentence, ALL_STEPS)
    assert 1 <= len(near) <= 3
    assert any(nearest in step.wording for step in near), advice
    assert f"a new one belongs in {file}" in advice
    assert all(f"({step.file}:{step.line})" in advice for step in near)


def test_a_sentence_that_fits_but_for_a_value_needs_no_new_step() -> None:
    sentence = "When a switchover to any replicas is requested"
    advice = step_advice.advice(sentence, "features/failover/x.feature:3", ALL_STEPS)
    assert "unknown candidate 'any replicas'; did you mean 'any replica'?" in advice
    assert "belongs in" not in advice


def test_a_sentence_like_no_other_gets_only_its_file() -> None:
    advice = step_advice.advice("When pigs fly", "features/cache/pigs.feature:3", ALL_STEPS)
    assert "did you mean" not in advice
    assert "belongs in steps/cache/pigs_steps.py" in advice


def test_a_step_of_an_own_feature_belongs_into_the_own_folder(given: OwnFolder) -> None:
    location = f"{given.features}/cluster/sessions.feature:7"
    advice = step_advice.advice("When 20 sessions are closed in a burst", location, steps.all_steps())
    assert f"belongs in {given.directory}/steps/session_steps.py" in advice
    assert "sessions are opened in a burst" in advice


@pytest.fixture
def mine(program: Program, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mine"
    assert program.run("new", str(folder)).status == 0
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--features", "/nowhere"], "/nowhere: there is no such folder; ./accept new /nowhere makes one"),
        (["run", "--features", "/proc/version"], "that is a file"),
        (["run", "--features", "/proc/self/net"], "no folder `features`"),
        (["lint", "--features", "features"], "inside this project"),
        (["run", "{mine}/steps/session_steps.py"], "in no folder `features`"),
    ],
)
def test_a_wrong_folder_is_told(program: Program, mine: Path, arguments: list[str], words: str) -> None:
    ended = program.run(*(one.format(mine=mine) for one in arguments))
    assert ended.status == 2, str(ended)
    assert words in ended.err, str(ended)


def test_lint_checks_the_own_folder_too(program: Program, mine: Path) -> None:
    file = mine / "features" / "cluster" / "sessions.feature"
    text = file.read_text(encoding="utf-8")
    assert program.run("lint", "--features", str(mine)).status == 0
    file.write_text(text.replace("OW-01", "OW-02").replace("opened in a burst", "opened in bursts"), encoding="utf-8")
    ours = mine / "steps" / "session_steps.py"
    count = ours.read_text(encoding="utf-8").count("\n")
    with ours.open("a", encoding="utf-8") as code:
        code.write("late = lambda context: undefined_function(context)\n")
    ended = program.run("lint", "--features", str(mine))
    assert ended.status == 1, str(ended)
    assert f"@id.OW-02 is not listed in {mine}/features/promises.toml" in ended.out, str(ended)
    assert "OW-01 has no scenario" in ended.out, str(ended)
    assert f"{ours}:{count + 1}: the name 'undefined_function' is defined nowhere" in ended.out, str(ended)
    assert "When {count:d} sessions are opened in a burst" in ended.out, str(ended)
    assert f"a new one belongs in {mine}/steps/session_steps.py" in ended.out, str(ended)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("opened = 0 +", "SyntaxError: invalid syntax, in `opened = 0 +`"),
        ("from support import sqll", ", in `from support import sqll`; did you mean 'sql'?"),
    ],
)
def test_a_step_file_that_cannot_be_loaded_is_told_in_one_line(
    program: Program, mine: Path, mistake: str, words: str
) -> None:
    """And nothing that only follows from it, such as that the name `sql` is defined nowhere."""
    file = mine / "steps" / "session_steps.py"
    text = file.read_text(encoding="utf-8").replace("from support import sql\n", f"{mistake}\n")
    file.write_text(text, encoding="utf-8")
    line = text[: text.index(mistake)].count("\n") + 1
    linted = program.run("lint", "--features", str(mine))
    assert (linted.status, linted.err.splitlines()[-1]) == (1, "1 finding"), str(linted)
    (told,) = [one for one in linted.out.splitlines() if one.startswith(f"{file}:{line}: ")]
    assert words in told
    planned = program.run("run", "--features", str(mine), "--plan")
    assert planned.status == 2, str(planned)
    assert planned.complaints == [f"accept: {told}"], str(planned)


def test_lint_checks_the_limits_of_the_own_folder(given: OwnFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "steps", {kind: [] for kind in registry.steps})  # other tests have such a folder, too
    given.settings.write_text('ruvector_port = 5433\n\n[limits]\n"OW-01.session" = 300\n', encoding="utf-8")
    (found,) = lint.lint(own=given)
    assert (found.file, found.line) == (given.settings, 4)
    known = 'the limits of OW-01 are "OW-01.sessions"; did you mean "OW-01.sessions"?'
    assert found.text == f'[limits] "OW-01.session": {known}'
    given.settings.write_text('[limits]\nOW-01.sessions = "300"\n', encoding="utf-8")
    (found,) = lint._wrong_limits(())
    assert (found.file, found.line) == (given.settings, 2)
    assert found.text.startswith("[limits] \"OW-01.sessions\" in accept.toml is '300': ")
    given.settings.write_text("[limits\n", encoding="utf-8")
    (found,) = lint._wrong_limits(())
    assert found.text.startswith("accept.toml cannot be read: ")


@pytest.mark.parametrize("how", ["the option", "the file", "the variable"])
def test_own_features_run_with_all_steps(program: Program, mine: Path, postgres: Endpoint, how: str) -> None:
    variables, words = target(postgres), ["--features", str(mine)]
    if how == "the file":
        words = [str(mine / "features" / "cluster" / "sessions.feature")]
    if how == "the variable":
        variables, words = {**variables, "ACCEPT_FEATURES": str(mine)}, []
    planned = program.run("run", *words, "--plan", **variables)
    assert "1 scenario would run" in planned.err, str(planned)
    ended = program.run("run", *words, **variables)
    assert ended.status == 0, str(ended)
    assert "OW-01 burst of sessions" in ended.out, str(ended)
    assert ended.last_line.startswith("1 passed"), str(ended)


def test_a_refused_session_breaks_the_promise_of_the_example(program: Program, mine: Path, empty: Endpoint) -> None:
    """It is no error of the suite."""
    sql.execute(empty, f"CREATE ROLE few LOGIN PASSWORD '{empty.password}' CONNECTION LIMIT 5")
    try:
        ended = program.run("run", "--features", str(mine), **target(replace(empty, user="few")))
    finally:
        sql.execute(empty, "DROP ROLE few")
    assert ended.status == 1, str(ended)
    assert "sessions of the burst that were refused" in ended.out, str(ended)
    assert ended.last_line.startswith("0 passed, 1 failed"), str(ended)


def test_a_mistake_in_an_own_step_is_told_with_its_line(program: Program, mine: Path, postgres: Endpoint) -> None:
    file = mine / "steps" / "session_steps.py"
    text = file.read_text(encoding="utf-8").replace("    begun = time", '    "%d" % (1, 2)\n    begun = time')
    file.write_text(text, encoding="utf-8")
    line = text[: text.index('"%d"')].count("\n") + 1
    ended = program.run("run", "--features", str(mine), **target(postgres))
    assert ended.status == 1, str(ended)
    assert f"not all arguments converted during string formatting at {file}:{line}" in ended.out, str(ended)
    assert "USING RUNNER" not in f"{ended.out}{ended.err}"
    assert "USE_NESTED_STEP_MODULES" not in f"{ended.out}{ended.err}"


def test_the_settings_of_the_own_folder_count(program: Program, mine: Path, postgres: Endpoint) -> None:
    (mine / "accept.toml").write_text('[limits]\n"OW-01.sessions" = 0.001\n', encoding="utf-8")
    ended = program.run("run", "--features", str(mine), "--rerun", **target(postgres))
    assert ended.status == 1, str(ended)
    assert "milliseconds until every session of the burst had answered" in ended.out, str(ended)
    assert "1 failed; rerunning" in ended.err or "wrong result" in ended.err, str(ended)
