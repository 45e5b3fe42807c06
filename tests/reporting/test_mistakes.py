"""Mistakes in the code of steps are told with the place in the user's own folder."""

import os
from pathlib import Path

import pytest

from support import own_folder, places
from support.reporting.mistakes import in_report, step_of, told


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own, in which the program was started."""
    folder = tmp_path / "mine"
    (folder / "steps").mkdir(parents=True)
    monkeypatch.setenv(own_folder.VARIABLE, str(folder))
    monkeypatch.setattr(places, "STARTED_IN", folder)
    return folder


def error_of(file: Path) -> BaseException:
    """The error with which a file is loaded, as behave loads it."""
    try:
        exec(compile(file.read_bytes(), os.path.relpath(file), "exec"), {"__file__": str(file)})
    except (Exception, SystemExit) as error:
        return error
    raise AssertionError("it was loaded")


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("opened = 0 +", "SyntaxError: invalid syntax, in `opened = 0 +`"),
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all', in `import nowhere_at_all`"),
        ("COUNT = lne([])", "NameError: name 'lne' is not defined, in `COUNT = lne([])`; did you mean 'len'?"),
        ("1 / 0", "ZeroDivisionError: division by zero, in `1 / 0`"),
        ("raise SystemExit(3)", "SystemExit: 3, in `raise SystemExit(3)`"),
        ("raise ValueError('one\\n  two')", r"ValueError: one two, in `raise ValueError('one\n two')`"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_told_with_its_line(own: Path, mistake: str, words: str) -> None:
    file = own / "steps" / "a_steps.py"
    file.write_text(f'"""Steps."""\n\n{mistake}\n')
    assert told(error_of(file)) == f"steps/a_steps.py:3: {words}"


def test_a_name_that_is_not_in_a_module_is_told_with_the_nearest_one(own: Path) -> None:
    file = own / "steps" / "a_steps.py"
    file.write_text("from support import sqll\n")
    said = told(error_of(file))
    assert said.startswith("steps/a_steps.py:1: ImportError: cannot import name 'sqll' from 'support'")
    assert said.endswith(", in `from support import sqll`; did you mean 'sql'?")
    file.write_text("import math\n\nROOT = math.sqrtt(4)\n")
    said = told(error_of(file))
    assert said.startswith("steps/a_steps.py:3: AttributeError: module 'math' has no attribute 'sqrtt'")
    assert said.endswith("; did you mean 'sqrt'?")


def test_the_line_is_the_users_where_code_of_ours_raised_the_error(own: Path) -> None:
    file = own / "steps" / "a_steps.py"
    file.write_text("from support.vocabulary import Kind\nSIZE = Kind.of('size', None)\n")
    assert told(error_of(file)).startswith("steps/a_steps.py:2: TypeError: ")


def test_a_mistake_in_a_module_of_theirs_is_told_there(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(own / "steps")
    (own / "steps" / "helper_of_mistakes.py").write_text("\ndef broken(:\n")
    file = own / "steps" / "a_steps.py"
    file.write_text("import helper_of_mistakes\n")
    expected = "steps/helper_of_mistakes.py:2: SyntaxError: invalid syntax, in `def broken(:`"
    assert told(error_of(file)) == expected


def test_an_error_that_passed_through_no_step_has_no_place(own: Path) -> None:
    assert told(ValueError("nothing")) == "ValueError: nothing"
    assert step_of(ValueError("nothing")) == ""


def test_a_report_shows_a_file_of_theirs_with_their_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = own / "steps" / "a_steps.py"
    file.write_text("\n1 / 0\n")
    error = error_of(file)
    assert step_of(error) == f" at {file}:2", "started in the folder, steps/a_steps.py would look like one of ours"
    monkeypatch.setattr(places, "STARTED_IN", own / "features")
    assert step_of(error) == f" at {file}:2"
    monkeypatch.setattr(places, "STARTED_IN", own.parent)
    assert step_of(error) == " at mine/steps/a_steps.py:2"
    monkeypatch.setattr(places, "STARTED_IN", places.ROOT)
    assert step_of(error) == f" at {file}:2"
    assert in_report(places.ROOT / "steps" / "cache" / "a_steps.py") == "steps/cache/a_steps.py"
