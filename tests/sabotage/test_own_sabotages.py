"""Sabotages in a folder of the user's own: in the catalogue with the others, and what is wrong with them is told."""

from pathlib import Path

import pytest
from program import ROOT, copy

from support import own_folder
from support.cli import lint, new
from support.cli.own import sabotage_findings
from support.cli.prove import show_sabotages
from support.errors import UsageError
from support.own_folder import OwnFolder
from support.sabotage import catalogue
from support.sabotage.catalogue import SABOTAGES, chosen, every_sabotage, own_sabotages, part_of, tried_on

NAME = "role-limited-to-10-sessions"
TITLES = {"OW-01": ["A burst of 20 sessions is served in less than two seconds"]}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnFolder:
    monkeypatch.chdir(ROOT)
    new.make(tmp_path / "mine")
    monkeypatch.setenv(own_folder.VARIABLE, str(tmp_path / "mine"))
    return OwnFolder(tmp_path / "mine")


def test_they_are_in_the_catalogue_beside_those_of_the_suite(own: OwnFolder) -> None:
    (one,) = own_sabotages(own.sabotages)
    assert every_sabotage() == {**SABOTAGES, NAME: one}
    assert (part_of(one), part_of(SABOTAGES["fsync-off"])) == (catalogue.OWN_PART, "PostgreSQL")
    assert chosen([NAME], ()) == chosen(["OW-01"], {"OW-01"}) == (one,)
    assert chosen([], ()) == (*SABOTAGES.values(), one)
    (tried,) = tried_on(chosen([NAME], ()), ["CL-03"], {"CL-03"})
    assert tried.ids == ("CL-03",)


def test_without_a_folder_or_without_the_file_there_are_none(own: OwnFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    own.sabotages.unlink()
    assert every_sabotage() == SABOTAGES
    monkeypatch.delenv(own_folder.VARIABLE)
    assert every_sabotage() == SABOTAGES
    with pytest.raises(UsageError, match="neither a promise nor a sabotage"):
        chosen([NAME], ())


def test_the_example_expects_words_that_its_step_says(own: OwnFolder) -> None:
    (one,) = own_sabotages(own.sabotages)
    (notice,) = one.noticed_by
    assert notice.matches((own.directory / "steps" / "session_steps.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ('"OW-01"', '"OW-09"', 11, f"{NAME}: no scenario has the tag @id.OW-09; did you mean OW-01?"),
        ('"OW-01"', '"OW-01 of 30"', 11, f"{NAME}: no scenario of OW-01 has 'of 30' in its title"),
        ('"sessions of', '"(sessions of', 11, "is not a regular expression: missing )"),
        (NAME, "fsync-off", 11, "the sabotage 'fsync-off' is one of the suite's; choose another name"),
        ("SABOTAGES = (", "OTHERS = (", 1, "it has no tuple SABOTAGES with a Sabotage(...) for each"),
        ("    Sabotage(", '    "a name",\n    Sabotage(', 1, "it has no tuple SABOTAGES with a Sabotage(...) for each"),
        ("import by_sql", "import by_sqll", 6, "ImportError: cannot import name 'by_sqll'"),
        ("SABOTAGES = (", "SABOTAGES = ((", 9, "SyntaxError: '(' was never closed"),
    ],
)
def test_each_mistake_is_told_with_its_line(own: OwnFolder, old: str, new: str, line: int, told: str) -> None:
    assert list(sabotage_findings(own, TITLES)) == []
    text = own.sabotages.read_text(encoding="utf-8")
    assert old in text
    own.sabotages.write_text(text.replace(old, new), encoding="utf-8")
    own_sabotages.cache_clear()
    (found,) = sabotage_findings(own, TITLES)
    assert (found.file, found.line) == (own.sabotages, line)
    assert told in found.text


def test_a_name_that_is_there_twice_is_told(own: OwnFolder) -> None:
    with own.sabotages.open("a") as file:
        file.write("SABOTAGES = (*SABOTAGES, *SABOTAGES)\n")
    with pytest.raises(UsageError, match=f"sabotages.py:11: the sabotage '{NAME}' is there twice"):
        every_sabotage()


def test_lint_checks_them_and_the_names_in_them(own: OwnFolder) -> None:
    assert list(lint.lint(own)) == []
    with own.sabotages.open("a") as file:
        file.write("late = lambda: undefined_function()\n")
    text = own.sabotages.read_text(encoding="utf-8").replace('"OW-01"', '"OW-09"')
    own.sabotages.write_text(text, encoding="utf-8")
    own_sabotages.cache_clear()
    first, last = lint.lint(own)
    assert "no scenario has the tag @id.OW-09" in first.text
    assert (last.line, last.text) == (text.count("\n"), "the name 'undefined_function' is defined nowhere")


@pytest.mark.long
@pytest.mark.usefixtures("own")
def test_the_list_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([NAME], ["OW-01"]):
        show_sabotages(words)
        assert capsys.readouterr().out == f"{NAME}  OW-01\n    the application's role is limited to 10 sessions\n"


def test_the_command_lists_them_and_refuses_a_file_with_mistakes(tmp_path: Path) -> None:
    program, mine = copy(tmp_path / "project"), tmp_path / "mine"
    assert program.run("new", str(mine)).status == 0
    listed = program.run("prove", "--list", "--features", str(mine))
    assert listed.status == 0, str(listed)
    assert f"{NAME}  OW-01\n" in listed.out
    assert "fsync-off  PH-06\n" in listed.out
    (mine / "sabotages.py").write_text("SABOTAGES = 3\n", encoding="utf-8")
    refused = program.run("prove", "--list", "--features", str(mine))
    assert refused.status == 2, str(refused)
    assert f"accept: {mine}/sabotages.py:1: it has no tuple SABOTAGES" in refused.err, str(refused)
