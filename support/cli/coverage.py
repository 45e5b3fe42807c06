"""`accept run --coverage`: which lines of the suite itself run, in every process."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

from support.cli.behave_process import dies_with_us
from support.cli.console import out
from support.places import WRITES_IN

COVERAGE = WRITES_IN / "coverage-report"
"""Folder for `index.html` and `coverage.xml`. pyproject.toml says what is measured."""
_COVERAGE_TOOL = (sys.executable, "-m", "coverage")


def run_with_coverage(arguments: Sequence[str]) -> int:
    """Carry out `accept run` with these arguments under coverage.py, print the figures, and return the exit status.

    A process that is killed cannot save what it reached.
    """
    shutil.rmtree(COVERAGE, ignore_errors=True)
    COVERAGE.mkdir()
    variables = {**os.environ, "COVERAGE_FILE": str((COVERAGE / "data").absolute())}
    measured = [*_COVERAGE_TOOL, "run", "-m", "support.cli", "run", *arguments]
    # A group of its own: a terminal interrupts all processes, a CI system perhaps only this one.
    with subprocess.Popen(dies_with_us(measured), env=variables, process_group=0) as child:
        signal.signal(signal.SIGINT, lambda *_: child.send_signal(signal.SIGINT))
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        status = child.wait()
    for report in (
        ("combine", "--quiet"),
        ("xml", "--quiet", "-o", f"{COVERAGE / 'coverage.xml'}"),
        ("html", "--quiet", f"--directory={COVERAGE}"),
        ("report",),
    ):
        subprocess.run([*_COVERAGE_TOOL, *report], env=variables, stdin=subprocess.DEVNULL, check=False)
    out.print(f"coverage: {COVERAGE / 'index.html'}", markup=False)
    return status
