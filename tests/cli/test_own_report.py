"""The promises and guides of a folder of the user's own: in the report and in all that is told of them."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import ROOT, Program, copy, target

from support import own_folder
from support.cli import compare, lint, new
from support.cli.report import knowledge
from support.own_folder import OwnFolder
from support.reporting import on_call, promises
from support.sabotage.catalogue import own_sabotages
from support.sql import Endpoint

MORE = '[OW-02]\ncapability = "cache"\npromise = "Logins are kept."\nseverity = "minor"\n'


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnFolder:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv(own_folder.VARIABLE, raising=False)
    new.make(tmp_path / "my checks")
    return OwnFolder(tmp_path / "my checks")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return copy(tmp_path_factory.mktemp("project"))


@pytest.fixture
def mine(program: Program, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mine"
    assert program.run("new", str(folder)).status == 0
    yield folder
    shutil.rmtree(folder)


def test_the_pages_know_the_folder_of_the_run_where_the_command_names_none(
    own: OwnFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = knowledge(f"--features '{own.directory}' --members 5")
    assert known.listed["OW-01"] == promises.load(own.promises)["OW-01"]
    assert known.guides["OW-01"] == on_call.load(own.guides)["OW-01"]
    assert known.sabotages["OW-01"] == [one.description for one in own_sabotages(own.sabotages)]
    assert {"FO-02", "OW-01"} <= known.listed.keys()
    for options in ("", "--members 5", "--features '/home/me/it's masked'", "--features /nowhere"):
        assert "OW-01" not in knowledge(options).listed
    monkeypatch.setenv(own_folder.VARIABLE, str(own.directory))
    assert "OW-01" in knowledge("--features /nowhere").listed, "what this command names counts"


def test_a_mistake_in_a_file_of_the_folder_costs_the_report_only_what_it_says(
    own: OwnFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    own.promises.write_text("[OW-01")
    own.sabotages.write_text("SABOTAGES = unknown\n")
    known = knowledge(f"--features '{own.directory}'")
    assert "OW-01" not in known.listed
    assert "OW-01" in known.guides
    assert "FO-02" in known.listed.keys() & known.sabotages.keys()
    told = capsys.readouterr().err
    assert f"lacks the sabotages of your own folder: {own.sabotages}:1: NameError: " in told


def test_a_comparison_has_the_sentences_of_the_folder(own: OwnFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "OW-01" not in compare._sentences()
    monkeypatch.setenv(own_folder.VARIABLE, str(own.directory))
    assert compare._sentences()["OW-01"] == promises.load(own.promises)["OW-01"].sentence


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[OW-09]\nmeans = 'x'", "on-call.toml:1: [OW-09] is about no promise"),
        ("[OW]\nmeans = 'x'\n[OW-01]\nmeans = 'x'\nfirst = ['ZZ-01']", ":3: [OW-01]: first: ZZ-01 is not in features/"),
        ("[OW-01]\nmean = 'x'", "[OW-01]: there is no key 'mean'"),
        ("[OW-01\n", "not TOML"),
    ],
)
def test_lint_finds_what_is_wrong_with_a_guide_of_the_folder(own: OwnFolder, text: str, told: str) -> None:
    own.guides.write_text(text)
    found = [str(one) for one in lint.check_guides(Path("features"), own)]
    assert any(told in one for one in found), found


def test_lint_allows_guides_for_promises_of_the_suite_and_no_guides_at_all(own: OwnFolder) -> None:
    own.guides.write_text("[FO-02]\nmeans = 'x'\nfirst = ['OW-01']\n[cache]\nmeans = 'x'\n")
    assert list(lint.check_guides(Path("features"), own)) == []
    own.guides.unlink()
    assert list(lint.check_guides(Path("features"), own)) == []


def test_lint_notes_a_promise_without_a_guide_once_the_folder_has_guides(own: OwnFolder) -> None:
    with own.promises.open("a") as listed:
        listed.write(MORE)
    ours = list(lint.notes(Path("features")))
    note = f"note: {own.guides} has no guide for OW-02: the report shows that of the capability"
    assert list(lint.notes(Path("features"), own)) == [*ours, note]
    own.guides.unlink()
    assert list(lint.notes(Path("features"), own)) == ours


def test_the_report_has_the_labels_and_guides_of_the_folder(program: Program, mine: Path, postgres: Endpoint) -> None:
    """Also when it is made again, with the option or without."""
    means = on_call.load(mine / "features" / "on-call.toml")["OW-01"].means
    label = promises.load(mine / "features" / "promises.toml")["OW-01"].name
    ran = program.run("run", "--features", str(mine), **target(postgres))
    assert ran.status == 0, str(ran)
    for again in ([], ["--features", str(mine)]):
        report = program.project / "allure-report"
        assert f'<span class="name">{label}</span>' in (report / "dashboard.html").read_text(encoding="utf-8")
        assert means in (report / "on-call.html").read_text(encoding="utf-8")
        made = program.run("report", *again)
        assert made.status == 0, str(made)


def test_doctor_and_heal_read_the_settings_of_the_folder(program: Program, mine: Path, postgres: Endpoint) -> None:
    lines = [f"{name.lower()} = {json.dumps(value)}" for name, value in target(postgres).items()]
    (mine / "accept.toml").write_text("\n".join([*lines, "enable_patroni = false", ""]), encoding="utf-8")
    here, there = (program.run("doctor", *words) for words in ([], ["--features", str(mine)]))
    assert "target: an embedded cluster" in here.out, str(here)
    assert "target: your cluster" in there.out, str(there)
    every, own = (re.findall(r"of (\d+) scenarios can run", ended.out) for ended in (here, there))
    assert int(*own) == int(*every) + 1, "those of the folder as well"
    assert "there is nothing to heal" in program.run("heal").err
    healed = program.run("heal", "--features", str(mine))
    assert "there is nothing to heal" not in healed.err, str(healed)
    assert healed.status != 2, str(healed)
