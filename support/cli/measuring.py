"""`accept run --coverage`: which lines of `support` and `steps` a run reaches, in each of our Python processes."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.cli import behaving
from support.cli.console import out

COVERAGE = Path("coverage-report")
"""Where the figures are left: `index.html`, `coverage.xml`. What is measured is in pyproject.toml."""
TOOL = (sys.executable, "-m", "coverage")


def carry_out(arguments: Sequence[str]) -> int:
    """Do `accept run` with these arguments while coverage.py looks on, and show the figures; the run's exit status.

    What is killed on the way cannot write down what it reached.
    """
    shutil.rmtree(COVERAGE, ignore_errors=True)
    COVERAGE.mkdir()
    variables = {**os.environ, "COVERAGE_FILE": str((COVERAGE / "data").absolute())}
    status = _await([*TOOL, "run", "-m", "support.cli", "run", *arguments], variables)
    for report in (
        ("combine", "--quiet"),
        ("html", "--quiet", f"--directory={COVERAGE}"),
        ("xml", "--quiet", "-o", f"{COVERAGE / 'coverage.xml'}"),
        ("report",),
    ):
        subprocess.run([*TOOL, *report], env=variables, stdin=subprocess.DEVNULL, check=False)
    out.print(f"coverage: {COVERAGE / 'index.html'}", markup=False)
    return status


def _await(argv: Sequence[str], variables: dict[str, str]) -> int:
    """Run a command to its end, also when we are told to stop: it is told as well, and ends by itself."""
    with subprocess.Popen(behaving.mortal(argv), env=variables) as child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the child's too
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        return child.wait()
