"""`accept test`: the project's own checks. All of them run, whatever the others find."""

import compileall
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rich.table import Table

from support.cli.console import out
from support.errors import UsageError
from support.places import INSTALLED, STARTED_IN_VARIABLE

LOOK = 0.2  # seconds between two looks at whether the tests have ended
PACKAGES = ("support", "steps")


@dataclass(frozen=True)
class Check:
    """A program whose exit status says whether all is well."""

    name: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """How a check ended."""

    status: int
    seconds: float
    said: bytes = b""


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


LINTERS = (
    Check("style (ruff check)", _module("ruff", "check")),
    Check("format (ruff format)", _module("ruff", "format", "--check")),
    Check("layers (import-linter)", (str(Path(sys.executable).with_name("lint-imports")), "--no-logo")),
    Check("types (mypy)", _module("mypy")),
    Check("names that tests use (mypy)", _module("mypy", "--config-file", "tests/mypy.ini")),
    Check("scenarios (accept lint)", _module("support.cli", "lint")),
)


class Extent(Enum):
    """Which tests run."""

    QUICK = "short ones that boot nothing"
    USUAL = "all but the slow ones"
    ALL = "all"


def tests(arguments: Sequence[str], extent: Extent) -> Check:
    """Run pytest in one process per core, plus two if tests wait for clusters."""
    processes = len(os.sched_getaffinity(0)) + 2 * (extent is not Extent.QUICK)
    spread = ("-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder")
    chosen = {Extent.QUICK: ["--quick"], Extent.USUAL: ["-m", "not slow"], Extent.ALL: []}[extent]
    return Check("tests (pytest)", _module("pytest", *spread, *chosen, *arguments))


def run_all(pytest_arguments: Sequence[str], extent: Extent = Extent.USUAL) -> bool:
    """Run the linters beside the tests, and show how long each check took. Returns whether all passed.

    Raises UsageError in an installed package, which has no tests.
    """
    if INSTALLED:
        raise UsageError("an installed package has no tests of its own; run them in a checkout of the project")
    for package in PACKAGES:  # once, instead of in every process and in every copy that a test makes
        compileall.compile_dir(package, quiet=1)
    pytest, begun = tests(pytest_arguments, extent), time.monotonic()
    ended: dict[Check, Ended] = {}
    with _started(pytest, "--color=yes" if out.is_terminal else "--color=no") as running:
        with ThreadPoolExecutor(1) as beside:
            for check, linted in zip(LINTERS, beside.map(_run, LINTERS), strict=True):
                ended[check] = linted
                _show(check, linted.said)
        _show(pytest)
        _copy_output(running)
    ended[pytest] = Ended(running.wait(), time.monotonic() - begun)
    out.print(_table(ended))
    return all(one.status == 0 for one in ended.values())


def _started(check: Check, *arguments: str) -> "subprocess.Popen[bytes]":
    # A test starts programs of its own, each in a folder of its own.
    left_out = {"PYTHONDONTWRITEBYTECODE", STARTED_IN_VARIABLE}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.Popen(
        [*check.argv, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _copy_output(running: "subprocess.Popen[bytes]") -> None:
    """Copy what it prints, and what has waited in the pipe so far, until it ends.

    The end of the pipe is not waited for: a process that a test left behind may hold it open.
    """
    assert running.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(running.stdout, selectors.EVENT_READ)
        while True:
            ended = running.poll() is not None  # asked first, so that nothing printed before the end is missed
            if selector.select(0 if ended else LOOK):
                said = os.read(running.stdout.fileno(), 1 << 16)
                if not said:
                    return
                _write(said)
            elif ended:
                return


def _run(check: Check) -> Ended:
    begun = time.monotonic()
    with _started(check) as running:
        said, _ = running.communicate()
    return Ended(running.returncode, time.monotonic() - begun, said)


def _show(check: Check, said: bytes = b"") -> None:
    out.rule(check.name, align="left")
    _write(said)


def _write(said: bytes) -> None:
    out.file.flush()
    sys.stdout.buffer.write(said)
    sys.stdout.buffer.flush()


def _table(ended: dict[Check, Ended]) -> Table:
    table = Table("check", "result", "seconds", title="the project's own checks")
    for check, one in ended.items():
        result = "[green]passed" if one.status == 0 else f"[red]failed (exit status {one.status})"
        table.add_row(check.name, result, f"{one.seconds:.1f}")
    return table
