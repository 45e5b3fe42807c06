"""A CI system's runner for tests: a checkout of the project, and the programs of the machine that jobs call.

Only what changes the machine or calls elsewhere is replaced, by programs that note how they are called. The program is
real; where it would boot a cluster, it prints its plan instead, and where it would run its own tests, its help.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from program import Ended, Program, copy
from servers import BINDIR
from small_suites import Ran, run_feature

SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")

PLAN_ONLY = """#!/bin/sh
case "$1" in
run) set -- "$@" --plan ;;
prove) set -- "$@" --list ;;
test) echo "./accept $*"; set -- "$@" --help ;;
esac
exec "{python}" -P -m support.cli "$@"
"""
PLANNED = {"prove": "fsync-off", "checks": "the project's own checks"}
"""What is printed by the jobs that do not plan scenarios."""
INSTALLED = "/usr/lib/postgresql/"
"""Where the jobs' packages of PostgreSQL would be; theirs are not installed here."""
RECORDER = '#!/bin/sh\necho "${0##*/} $*" >>"$NOTES"\n[ -t 0 ] || cat >/dev/null\n'

VERSION = "17"
"""Of PostgreSQL, in the jobs that ask for one of several."""

TRUE, FALSE = "Then it is 42", "Then it is 7"
FEATURE = "@normal\nFeature: {name}\n  @id.ZZ-01\n  Scenario: {name} is so\n    {claim}\n"


@dataclass(frozen=True)
class Block:
    """A script of a job."""

    job: str
    text: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Runner:
    """A checkout of the project, and the parts of a runner around it."""

    program: Program

    @property
    def around(self) -> Path:
        return self.program.project.parent

    def run(self, block: Block, filled_in: Mapping[str, str] | None = None) -> Ended:
        """Run a script as the runner does. Raises KeyError for an expression without a value."""
        script = self.around / "script.sh"
        script.write_text(block.text.replace(INSTALLED, f"{self.around}{INSTALLED}"), encoding="utf-8")
        given = filled_in or {}
        env = {name: given[value] if "${{" in value else value for name, value in block.env.items()}
        path = f"{self.around / 'bin'}{os.pathsep}{os.environ['PATH']}"
        runners = {"PATH": path, "NOTES": str(self.around / "notes"), "GITHUB_STEP_SUMMARY": str(self.summary)}
        ended = subprocess.run(
            [*SHELL, str(script)],
            cwd=self.program.project,
            env={**self.program.environment, **runners, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    @property
    def summary(self) -> Path:
        return self.around / "summary.md"

    @property
    def notes(self) -> str:
        file = self.around / "notes"
        return file.read_text() if file.exists() else ""


def checkout(folder: Path, replaced: Iterable[str]) -> Program:
    """A checkout of the project, whose program only plans, beside programs of these names that note their calls."""
    program = copy(folder / "checkout")
    write_program(program.project / "accept", PLAN_ONLY.format(python=sys.executable))
    for name in replaced:
        write_program(folder / "bin" / name, RECORDER)
    installed = folder / INSTALLED.strip("/") / VERSION
    installed.mkdir(parents=True)
    (installed / "bin").symlink_to(BINDIR)
    return program


def runner_in(checkout: Program) -> Iterator[Runner]:
    """A runner in that checkout; what its jobs leave is removed at the end."""
    yield Runner(checkout)
    for left in ("runs", "allure-results", "allure-report", "coverage-report"):
        shutil.rmtree(checkout.project / left, ignore_errors=True)
    for file in (checkout.project.parent / "notes", checkout.project.parent / "summary.md"):
        file.unlink(missing_ok=True)


def small_runs(folder: Path) -> Mapping[str, Ran]:
    """Small runs, by their results."""
    features = {"passed": FEATURE.format(name="One", claim=TRUE), "broken": FEATURE.format(name="Two", claim=FALSE)}
    return {name: run_feature(folder / name, text) for name, text in features.items()}


def leave(ran: Ran, folder: Path) -> None:
    """Put a run's results where its artifact would be unpacked."""
    ran.settled()
    shutil.copytree(ran.results_directory, folder / "allure-results")
    shutil.copy(ran.directory / "journal.jsonl", folder / "allure-results")


def write_program(file: Path, text: str) -> None:
    """Write a script that can be run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)
