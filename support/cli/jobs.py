"""`accept run --jobs N`: the features of one run spread over N clusters side by side.

Each job is a process with a cluster of its own, which takes the next feature that nobody has claimed. All of them write
one journal and one folder of results; the process that the user started shows what goes on, and reports.
"""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from support.cli import behaving
from support.reporting.following import Follower
from support.reporting.journal import Journal
from support.run import Run
from support.target.topology import Topology
from support.waiting import NotYet, eventually

STOPS_WITHIN = 3.5  # seconds to a job after Ctrl-C: to its behave, and to its cluster; the whole program has 5
TOPOLOGY = "topology-*.json"
"""Each job leaves a copy of its own in the folder of the whole run: what is secret is known from it at the end."""


def carry_out(run: Run, jobs: int, arguments: Sequence[str]) -> bool:
    """Run the scenarios; whether to their end, and not to a Ctrl-C. `arguments` are the user's, for `accept run`."""
    program = [sys.executable, "-P", "-m", "support.cli", "run", "--share-of", str(run.directory), *arguments]
    log = run.directory / "jobs.log"
    follower = Follower(run.journal)
    with log.open("w") as output:
        # Ctrl-C is passed on by us, once: a job in our own process group would get it twice.
        started = [
            subprocess.Popen(behaving.mortal(program), stdin=subprocess.DEVNULL, stdout=output, process_group=0)
            for _ in range(jobs)
        ]

    def over() -> None:
        follower.look()
        if any(job.poll() is None for job in started):
            raise NotYet("a job runs")

    try:
        eventually(over, within=math.inf, subject="all jobs are over")
    except KeyboardInterrupt:
        _stop(started)
        return False
    finally:
        follower.close()
    for number, job in enumerate(started, 1):
        if job.returncode:
            said = log.read_text(errors="replace").strip()
            Journal(run.journal).trouble(f"job {number} of {jobs} ended with status {job.returncode}", said)
    return True


def topologies(run: Run) -> list[Topology]:
    """Of the clusters that the jobs had."""
    return [Topology.load(path) for path in sorted(run.directory.glob(TOPOLOGY))]


def _stop(started: "Sequence[subprocess.Popen[bytes]]") -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    living = [job for job in started if job.poll() is None]

    def gone() -> None:
        if any(job.poll() is None for job in living):
            raise NotYet("a job runs")

    try:
        for job in living:
            os.killpg(job.pid, signal.SIGINT)
        eventually(gone, within=STOPS_WITHIN, subject="the jobs have stopped")
    except AssertionError:
        for job in living:
            job.kill()
            job.wait()
    finally:
        signal.signal(signal.SIGINT, before)
