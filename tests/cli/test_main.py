"""The program's commands: each is where its name says, and listing them waits for none of their work."""

import ast
import subprocess
import sys

from program import ROOT

from support.cli.main import app

COMMANDS = ROOT / "support" / "cli" / "commands"


def test_each_command_is_declared_in_the_module_of_its_name() -> None:
    declared = {one.name: one.callback.__module__ for one in app.registered_commands if one.callback}
    modules = {file.stem for file in COMMANDS.glob("*.py")} - {"__init__"}
    assert declared == {name: f"support.cli.commands.{name}" for name in modules}


def test_help_has_no_line_break_inside_a_paragraph() -> None:
    """It would be printed, wherever the screen ends."""
    told = {one.name: one.callback.__doc__ or "" for one in app.registered_commands if one.callback}
    assert "(smoke, fast, slow, destructive, performance)" in told["run"]
    assert [name for name, words in told.items() if "\n" in words.replace("\n\n", "")] == []


def imported_when_called() -> set[str]:
    """The modules of ours that commands import inside of functions."""
    found = set[str]()
    for file in COMMANDS.glob("*.py"):
        for function in (one for one in ast.parse(file.read_text()).body if isinstance(one, ast.FunctionDef)):
            for node in (one for one in ast.walk(function) if isinstance(one, ast.ImportFrom) and one.module):
                names = [f"{node.module}.{one.name}" for one in node.names]
                found |= {one for one in (node.module, *names) if (ROOT / f"{one.replace('.', '/')}.py").exists()}
    return found


def test_help_imports_no_work() -> None:
    """`--help` is answered at once, and so is a completion."""
    code = "import sys, support.cli.main; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded, work = {*printed.stdout.split()}, imported_when_called()
    assert {"support.cli.run", "support.cli.jobs", "support.cli.targets", "support.settings"} <= work
    assert "support.cli.commands.run" in loaded
    assert sorted(loaded & work) == []
