"""`accept test`: the project's own checks. All of them run, whatever the ones before found."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from support.cli.console import out


@dataclass(frozen=True)
class Check:
    """A program whose exit status says whether all is well."""

    name: str
    argv: tuple[str, ...]


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def checks(pytest_arguments: Sequence[str]) -> tuple[Check, ...]:
    """Every check there is, the quick ones first."""
    return (
        Check("style (ruff check)", _module("ruff", "check")),
        Check("format (ruff format)", _module("ruff", "format", "--check")),
        Check("layers (import-linter)", (str(Path(sys.executable).with_name("lint-imports")), "--no-logo")),
        Check("types (mypy)", _module("mypy")),
        Check("scenarios (accept lint)", _module("support.cli", "lint")),
        Check("tests (pytest)", _module("pytest", *pytest_arguments)),
    )


def run_all(selected: Sequence[Check]) -> bool:
    """Run the checks one after another, and show what each took; whether all passed."""
    table = Table("check", "result", "seconds", title="the project's own checks")
    passed = True
    for check in selected:
        out.rule(check.name, align="left")
        begun = time.monotonic()
        status = subprocess.run(check.argv, stdin=subprocess.DEVNULL).returncode
        passed = passed and status == 0
        result = "[green]passed" if status == 0 else f"[red]failed (exit status {status})"
        table.add_row(check.name, result, f"{time.monotonic() - begun:.1f}")
    out.print(table)
    return passed
