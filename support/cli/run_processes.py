"""`accept run --jobs` and `accept run --coverage`: runs that other processes of this program carry out.

Each job is a process with a cluster of its own. It takes the next feature that no other job has claimed. All jobs write
to one journal and one results folder; the process that the user started prints the progress and the report.
"""

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from support.cli.behave_process import dies_with_us
from support.cli.clusters import accept_argv
from support.cli.console import out
from support.reporting.journal import Journal
from support.reporting.terminal import Follower
from support.run import Run
from support.target.topology import Topology
from support.waiting import NotYet, eventually

STOP_TIMEOUT = 3.5  # seconds that a job has after Ctrl-C, for its behave and its cluster; the whole program has 5
TOPOLOGY = "topology-*.json"
"""Each job leaves its topology in the folder of the whole run. The report needs it to mask the passwords."""
COVERAGE = Path("coverage-report")
"""Folder for `index.html` and `coverage.xml`. pyproject.toml says what is measured."""
_COVERAGE_TOOL = (sys.executable, "-m", "coverage")


def run_jobs(run: Run, jobs: int, arguments: Sequence[str]) -> bool:
    """Run the scenarios in jobs. False if Ctrl-C ended them. `arguments` are the user's, for `accept run`."""
    program = accept_argv(["run", "--share-of", str(run.directory), *arguments])
    log = run.directory / "jobs.log"
    follower = Follower(run.journal)
    with log.open("w") as output:
        # We pass Ctrl-C on. A job in our own process group would get it twice.
        started = [
            subprocess.Popen(dies_with_us(program), stdin=subprocess.DEVNULL, stdout=output, process_group=0)
            for _ in range(jobs)
        ]

    def over() -> None:
        follower.look()
        if any(job.poll() is None for job in started):
            raise NotYet("a job is still running")

    try:
        eventually(over, within=math.inf, subject="all jobs are over")
    except KeyboardInterrupt:
        _stop(started)
        return False
    finally:
        follower.close()
    for number, job in enumerate(started, 1):
        if job.returncode:
            printed = log.read_text(errors="replace").strip()
            Journal(run.journal).trouble(f"job {number} of {jobs} ended with status {job.returncode}", printed)
    return True


def topologies(run: Run) -> list[Topology]:
    """The topologies of the jobs' clusters."""
    return [Topology.load(path) for path in sorted(run.directory.glob(TOPOLOGY))]


def _stop(started: "Sequence[subprocess.Popen[bytes]]") -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    living = [job for job in started if job.poll() is None]

    def gone() -> None:
        if any(job.poll() is None for job in living):
            raise NotYet("a job is still running")

    try:
        for job in living:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(job.pid, signal.SIGINT)
        eventually(gone, within=STOP_TIMEOUT, subject="the jobs have stopped")
    except AssertionError:
        for job in living:
            job.kill()
            job.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def run_with_coverage(arguments: Sequence[str]) -> int:
    """Carry out `accept run` with these arguments under coverage.py, print the figures, and return the exit status.

    A process that is killed cannot save what it reached.
    """
    shutil.rmtree(COVERAGE, ignore_errors=True)
    COVERAGE.mkdir()
    variables = {**os.environ, "COVERAGE_FILE": str((COVERAGE / "data").absolute())}
    measured = [*_COVERAGE_TOOL, "run", "-m", "support.cli", "run", *arguments]
    with subprocess.Popen(dies_with_us(measured), env=variables) as child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to the child, too
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        status = child.wait()
    for report in (
        ("combine", "--quiet"),
        ("html", "--quiet", f"--directory={COVERAGE}"),
        ("xml", "--quiet", "-o", f"{COVERAGE / 'coverage.xml'}"),
        ("report",),
    ):
        subprocess.run([*_COVERAGE_TOOL, *report], env=variables, stdin=subprocess.DEVNULL, check=False)
    out.print(f"coverage: {COVERAGE / 'index.html'}", markup=False)
    return status
