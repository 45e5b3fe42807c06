"""`accept run` on several clusters: each job is a process with a cluster of its own.

It takes the next unit of work that no other job has taken. All jobs write to one journal and one results folder; the
process that the user started prints the progress and the report. If a job dies, what it left is done by another one.
"""

import math
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from support.cli.behave_process import dies_with_us, sigterm_interrupts
from support.cli.cluster_under_test import Clusters, require, run_to_the_end
from support.cli.clusters import KeptCluster, accept_argv
from support.cli.console import complain, say
from support.cli.job_plan import Spread, shuffled
from support.cli.run_options import RunOptions
from support.engine.saturation import watched_for_all
from support.errors import RequirementMissing, UsageError
from support.reporting.following import Follower
from support.reporting.journal import INTERRUPTED, Journal, read
from support.reporting.scenario import Scenario, Verdict, from_features
from support.run import Run
from support.target.topology import Address, Login, Topology
from support.vocabulary import counted
from support.waiting import NotYet, describe, eventually
from support.work import SharedWork, Unit

STOP_TIMEOUT = 3.5  # seconds that a job has after Ctrl-C, for its behave and its cluster; the whole program has 5
_MISSING = "missing"
"""A file in the folder of the whole run, in which a job notes required capabilities that its cluster lacks."""
_PASSWORD = re.compile(r'(?<=")[\w-]{40,}(?=")')
"""In a topology: as `secrets.token_urlsafe` makes them."""
ROUNDS = 3
"""How often at most jobs are started, to do what others that died have left."""


class Jobs:
    """Carries out runs in jobs."""

    def __init__(self, spread: Spread, arguments: Sequence[str]) -> None:
        """`arguments` are the user's, for `accept run`."""
        self._spread, self._arguments = spread, arguments

    def carry_out(self, run: Run) -> bool:
        """Run the scenarios. False if interrupted by Ctrl-C.

        Raises RequirementMissing if no scenario began because the clusters lack what the user requires.
        """
        spread = self._spread
        if run.shuffled:
            spread = replace(spread, units=shuffled(spread.units, run.seed))
        run = replace(run, clusters=str(spread))
        for _ in range(ROUNDS):
            once = _Round(run, spread, self._arguments)
            if not once.carry_out():
                return False
            if missing := _missing(run):  # noted by a later cluster; all are alike
                if read(run.journal).selected:
                    break
                raise RequirementMissing(missing)
            left = _left(spread.units, run)
            if not left or not once.any_failed:
                break
            count = sum(len(one.lines) for one in left)
            say(f"{counted(count, 'scenario')} {'is' if count == 1 else 'are'} left by jobs that ended early")
            spread = _fewest(left, self._spread)
        return self._judge_alone(run)

    def _judge_alone(self, run: Run) -> bool:
        """Judge once more, alone, what exceeded a limit or saw too little alongside other clusters; errors stay errors.

        Those clusters used the processors: what is slow then says little about any of them. What never came is more
        than slow: if that passes now, it is flaky. False if Ctrl-C ended it.
        """
        beside = {_place(unit, line) for unit in self._spread.units if not unit.alone for line in unit.lines}
        doubtful = [
            one
            for one in read(run.journal).worth_rerunning
            if one.verdict is not Verdict.ERROR and (one.scenario.path, one.scenario.line) in beside
        ]
        if not doubtful:
            return True
        say(f"{len(doubtful)} exceeded a limit, or saw too little, alongside other clusters; running alone")
        Journal(run.journal).to_be_judged_alone(doubtful)
        return self.again(run, [one.scenario for one in doubtful])

    def again(self, run: Run, scenarios: Sequence[Scenario]) -> bool:
        """Run these once more, on a machine that does nothing else. False if Ctrl-C ended it."""
        wanted = {(one.path, one.line) for one in scenarios}
        units = tuple(_only(self._spread.units, wanted))
        return _Round(run, _fewest(units, self._spread), self._arguments).carry_out()

    def topologies(self, run: Run) -> Sequence[Topology]:
        """The topologies of the run's clusters; of one that cannot be read, what is needed to mask its passwords."""
        return [_loaded(path) for path in sorted(run.directory.glob("topology-*.json"))]

    def end(self) -> None:
        """Nothing is left: each job has ended its cluster."""


def topology_of(share: Run, number: int | str) -> str:
    """The name of the file with one topology of a job's, in the folder of the whole run.

    The report needs it to mask the passwords, also if the job was killed.
    """
    return f"topology-{share.directory.name}-{number}.json"


def _loaded(file: Path) -> Topology:
    """The topology in a file. If it cannot be read, the report is made all the same.

    What looks like a password is then masked: those of a cluster that a job has booted are long and random.
    """
    try:
        return Topology.load(file)
    except (OSError, ValueError) as error:
        why = describe(error) if isinstance(error, OSError) else "it is damaged"  # a ValueError quotes the file
        complain(f"a cluster's topology cannot be read ({why}); its passwords are masked as far as they are known")
    found: list[str] = []
    with suppress(OSError):
        found = _PASSWORD.findall(file.read_text(encoding="utf-8", errors="replace"))
    return Topology("", Login("", ""), Address("", 0), further_secrets=tuple(found))


def _missing(run: Run) -> str:
    """What the user requires but some job's cluster lacks; empty if no job noted anything."""
    file = run.directory / _MISSING
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _fewest(units: tuple[Unit, ...], spread: Spread) -> Spread:
    """One cluster that can run all of these."""
    kinds = any(one is not None for one in spread.clusters)
    return Spread(units, (any(one.sharded for one in units) if kinds else None,))


def _left(units: Iterable[Unit], run: Run) -> tuple[Unit, ...]:
    """What has no verdict yet."""
    record = read(run.journal)
    judged = {(one.scenario.path, one.scenario.line) for one in record.results}
    all_places = {_place(unit, line) for unit in units for line in unit.lines}
    return tuple(_only(units, all_places - judged))


def _only(units: Iterable[Unit], wanted: "set[tuple[str, int]]") -> "Iterable[Unit]":
    """The units with only the wanted scenarios, by path and line."""
    for unit in units:
        if lines := tuple(line for line in unit.lines if _place(unit, line) in wanted):
            yield replace(unit, lines=lines, seconds=unit.seconds * len(lines) / len(unit.lines))


def _place(unit: Unit, line: int) -> tuple[str, int]:
    return from_features(PurePath(unit.feature)), line


@dataclass(frozen=True)
class _Job:
    """A process of this program, with a share of the run."""

    number: int
    share: Run
    process: "subprocess.Popen[bytes]"
    log: Path
    """Its messages; what it prints beside them is in a file next to it."""
    began: float

    @property
    def booted(self) -> bool:
        """Whether its cluster is up, or was."""
        return self.share.whole is not None and any(self.share.whole.glob(topology_of(self.share, "*")))

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None


class _Round:
    """Jobs that do some work together. They are started one after another, so that each boot is quick."""

    def __init__(self, run: Run, spread: Spread, arguments: Sequence[str]) -> None:
        self._run, self._arguments = run, arguments
        self._work = SharedWork(run.directory / f"work-{len(list(run.directory.glob('work-*')))}")
        self._work.save(spread.units)
        self._to_start, self._boots_at_once = list(spread.clusters), spread.boots_at_once
        self._jobs = list[_Job]()
        self._seen_up, self._told = set[int](), dict[int, int]()
        self._did_not_boot = set[int]()

    def carry_out(self) -> bool:
        """Run the scenarios. False if Ctrl-C ended it."""
        follower = self._follower()

        def tell(line: str) -> None:
            if not follower.tell(line):
                say(line)

        def over() -> None:
            follower.look()
            self._pass_on_what_they_say(tell)
            self._start(tell)
            if any(not job.is_over for job in self._jobs):
                raise NotYet("a job is still running")

        try:
            with watched_for_all(self._run.directory / "saturation.jsonl"):
                eventually(over, within=math.inf, subject="all jobs are over")
        except KeyboardInterrupt:
            self._stop()
            return False
        finally:
            follower.close()
            self._pass_on_what_they_say(say)
        self._tell_of_failures()
        return True

    def _follower(self) -> Follower:
        """A follower that shows the scenarios of this round only: earlier rounds may have written to the journal."""
        places = {_place(unit, line): unit.alone for unit in self._work.units for line in unit.lines}
        return Follower(
            self._run.journal,
            selected=lambda one: (one.path, one.line) in places,
            alone=lambda one: places.get((one.path, one.line), False),
            clusters=lambda: len(self._to_start) + sum(not job.is_over for job in self._jobs),
            tellers=lambda: {
                f"cluster {job.number}": job.share.told_in
                for job in self._jobs
                if job.share.told_in is not None and not job.is_over
            },
            since=self._run.journal.stat().st_size if self._run.journal.exists() else 0,
        )

    def _start(self, tell: Callable[[str], None]) -> None:
        """Start jobs, as long as there is work for them and few others boot."""
        for job in self._jobs:
            if job.booted and job.number not in self._seen_up:
                self._seen_up.add(job.number)
                tell(f"cluster {job.number} is up after {time.monotonic() - job.began:.0f} s")
            elif job.is_over and not job.booted and job.number not in self._did_not_boot:
                self._did_not_boot.add(job.number)
                if len(self._did_not_boot) == 1:  # one that does not boot may have bad luck, several have none
                    self._to_start.append(job.share.workers)
        while self._to_start and self._booting < self._boots_at_once:
            workers = self._to_start.pop(0)
            if any(self._work.waiting(workers is not False, alone=False)) or not self._jobs:
                self._jobs.append(self._started(workers))

    @property
    def _booting(self) -> int:
        return sum(not job.booted and not job.is_over for job in self._jobs)

    def _started(self, workers: bool | None) -> _Job:
        share = self._run.share(self._work.directory, workers)
        program = accept_argv(["run", "--share-of", str(share.file), *self._arguments])
        log = self._run.directory / f"{share.directory.name}.log"
        with log.with_suffix(".out").open("w") as output, log.open("w") as messages:
            # We pass Ctrl-C on. A job in our own process group would get it twice.
            process = subprocess.Popen(
                dies_with_us(program), stdin=subprocess.DEVNULL, stdout=output, stderr=messages, process_group=0
            )
        return _Job(len(self._jobs) + 1, share, process, log, time.monotonic())

    def _pass_on_what_they_say(self, tell: Callable[[str], None]) -> None:
        for job in self._jobs:
            with job.log.open("rb") as log:
                log.seek(self._told.get(job.number, 0))
                said = log.read()
            whole = said[: said.rfind(b"\n") + 1]
            self._told[job.number] = self._told.get(job.number, 0) + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                tell(f"cluster {job.number}: {line}")

    @property
    def any_failed(self) -> bool:
        """Whether a job ended otherwise than by being out of work."""
        return any(job.process.returncode for job in self._jobs)

    def _tell_of_failures(self) -> None:
        """Note the jobs that failed. One whose cluster did not boot matters only if others did not do its work."""
        undone = _left(self._work.units, self._run) or not any(job.booted for job in self._jobs)
        Journal(self._run.journal).close()
        for job in self._jobs:
            if job.process.returncode and (undone or job.booted):
                why = f"job {job.number} of {len(self._jobs)} ended with status {job.process.returncode}"
                printed = [file.read_text(errors="replace") for file in (job.log.with_suffix(".out"), job.log)]
                Journal(self._run.journal).trouble(why, "".join(printed).strip())

    def _stop(self) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        living = [job.process for job in self._jobs if not job.is_over]

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


def run_share(options: RunOptions, file: Path) -> int:
    """In a job: boot a cluster, and do the work that no other job takes; returns the exit status."""
    run = Run.load(file)
    if run.work is None or run.whole is None:
        raise UsageError(f"{file} is not a share of a run")
    whole, work, options = run.whole, SharedWork(run.work), options.with_workers(run.workers)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ctrl-C is answered once, by whoever started the jobs

    def booted(number: int, topology: Topology) -> None:
        topology.save(whole / topology_of(run, number))

    with ExitStack() as cleanup, sigterm_interrupts():
        cleanup.callback(shutil.rmtree, run.directory, ignore_errors=True)
        attendance = cleanup.enter_context(work.attendance())
        tested = Clusters(options, KeptCluster(run.directory), booted=booted, progress=_silent)
        cleanup.callback(tested.end)
        try:
            require(options, tested.current.topology)
        except RequirementMissing as missing:
            (whole / _MISSING).write_text(str(missing), encoding="utf-8")
            raise
        completed = run_to_the_end(options, run, tested)
        if completed and work.runs_alone(run.workers is not False) and attendance.stay():
            attendance.await_others()
            completed = run_to_the_end(options, replace(run, alone=True), tested)
        return 0 if completed else INTERRUPTED


def _silent(line: str) -> None:
    """Several boots at once would print their steps all mixed up."""
