"""`accept run`: boots or finds the target, runs the selected scenarios there, and writes the report."""

import math
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Protocol

from support.cli import behave_process, clusters, host_commands, job_plan, preflight, report, status
from support.cli.behave_process import Planned
from support.cli.boot import bindir_of, provide_citus, with_ruvector
from support.cli.cluster_under_test import Clusters, require, run_to_the_end
from support.cli.clusters import KeptCluster
from support.cli.console import Progress, out, say
from support.cli.job_plan import Spread
from support.cli.jobs import Jobs
from support.cli.run_options import RunOptions
from support.cli.suites import Selection
from support.embedded import programs
from support.errors import AcceptError, NothingJudged, RequirementMissing
from support.reporting import steadiness
from support.reporting.journal import BROKEN, INTERRUPTED, NOTHING_JUDGED, PASSED, Journal, RunRecord, exit_status, read
from support.reporting.metrics import Publisher
from support.reporting.past import durations
from support.reporting.rendering import HISTORY
from support.reporting.scenario import Scenario
from support.run import Run, begin_run, forget
from support.settings import Settings
from support.target.capabilities import SHARDS
from support.target.topology import Topology
from support.vocabulary import counted
from support.waiting import NotYet, eventually

_WORST_FIRST = (BROKEN, INTERRUPTED, NOTHING_JUDGED, PASSED)
"""The exit statuses of runs, the worst first."""
_STOPPED = "stopped; this is what was done so far:"


class Means(Protocol):
    """What carries out runs."""

    def carry_out(self, run: Run) -> bool:
        """Run the scenarios. False if Ctrl-C ended it."""

    def again(self, run: Run, scenarios: Sequence[Scenario]) -> bool:
        """Run these once more. False if Ctrl-C ended it."""

    def topologies(self, run: Run) -> Sequence[Topology]:
        """The clusters of a run; the report masks their passwords."""

    def end(self) -> None:
        """End what is left of the clusters."""


class _OneCluster:
    """Carries out runs on one cluster, in this process: from the boot on inside its sandbox."""

    def __init__(self, options: RunOptions, place: KeptCluster, workers: bool | None) -> None:
        self._options = options.with_workers(workers)
        self.clusters = Clusters(self._options, place)

    def carry_out(self, run: Run) -> bool:
        return run_to_the_end(self._options, run, self.clusters)

    def again(self, run: Run, scenarios: Sequence[Scenario]) -> bool:
        return run_to_the_end(self._options, run, self.clusters, scenarios)

    def topologies(self, run: Run) -> Sequence[Topology]:
        return self.clusters.topologies

    def end(self) -> None:
        self.clusters.end()


def show_plan(options: RunOptions, commands: bool = False) -> int:
    """Print the scenarios that would run, and return the exit status. Raises NothingJudged if there are none.

    Those that would be skipped are listed by what the target lacks. `commands`: also what they would do on the user's
    hosts.
    """
    planned = _planned(options.selection, options.settings)
    if commands:
        return host_commands.show(planned, options.settings)
    from support.cli import doctor

    unable = doctor.unable(options, planned)
    for one in planned:
        if one not in unable:
            out.print(f"{one.location}: {one.name}", markup=False)
    doctor.show_obstacles(unable)
    would_run = counted(len(planned) - len(unable), "scenario")
    say(f"{would_run} would run" + (f", {len(unable)} would be skipped" if unable else ""))
    return 0


def run(options: RunOptions, arguments: Sequence[str] = ()) -> int:
    """Run the scenarios, and return the exit status.

    With one embedded cluster everything after its boot happens inside its sandbox. `arguments` are the command line,
    for the further processes of this program that several clusters need.
    """
    report.forget_verdicts()
    planned = _selected(options)
    clusters.sweep()
    report.withdraw_pages()
    report.prepare()
    run = _begin(options, options.seed)
    say(f"{counted(len(planned), 'scenario')}; seed {run.seed} (--seed {run.seed} repeats the random choices)")
    with Publisher(options.settings) as publisher, ExitStack() as cleanup, behave_process.sigterm_interrupts():
        cleanup.callback(_forget, run)
        with _failure_published(publisher, run, options.settings):
            spread = _spread(options, planned)
        if len(spread.clusters) > 1:
            say(f"on {spread}")
            return _conclude(options, run, Jobs(spread, arguments), publisher)
        place = clusters.named(f"run-{run.id}") if options.keep else KeptCluster(run.directory)
        with _failure_published(publisher, run, options.settings):
            one = _OneCluster(options, place, *spread.clusters)
            cleanup.callback(one.end)
            require(options, one.clusters.current.topology)
        keep_up = partial(_keep_up, place, one.clusters) if options.keep else None
        return _conclude(options, run, one, publisher, keep_up)


def _conclude(
    options: RunOptions, run: Run, means: Means, publisher: Publisher, keep_up: Callable[[], None] | None = None
) -> int:
    """Carry out the run, and report on it. `keep_up` keeps the cluster up afterwards, if that is wanted."""
    if options.repeat > 1:
        return _repeat(options, run, means, publisher)
    completed = _carried_out(run, means, options.settings, publisher)
    if completed and options.rerun:
        completed = _going_on(run, options.settings, partial(_rerun, run, means))
    if not completed:
        say(_STOPPED)
    if completed and keep_up is not None:
        reported = _report(options, run, means, publisher)
        keep_up()
        return reported
    with _meanwhile(means.end):
        return _report(options, run, means, publisher)


def _report(
    options: RunOptions,
    run: Run,
    means: Means,
    publisher: Publisher,
    before: int = PASSED,
    in_history: bool = False,
) -> int:
    """Report on a run, and return its exit status; `before` is the worst of those before it.

    Ctrl-C meanwhile ends the program, but hides no failure: raises SystemExit if there is one, else KeyboardInterrupt.
    """
    try:
        return report.of_run(run, means.topologies(run), publisher, options.asked, in_history)
    except KeyboardInterrupt:
        if BROKEN not in (before, exit_status(read(run.journal))):
            raise
        say("stopped")
        raise SystemExit(BROKEN) from None


def _spread(options: RunOptions, planned: Sequence[Planned]) -> Spread:
    """On which clusters the scenarios run. Installs missing programs, once and not in each job."""
    if not options.spreads:
        return Spread((), (None,))
    if "citus" in options.required:
        provide_citus(options.settings, Progress())
    if "ruvector" in options.required:
        with_ruvector(options.settings)
    if options.settings.accept_workers == 0 and (shards := sorted(options.required & SHARDS)):
        raise RequirementMissing(f"{', '.join(shards)} is required, but --workers 0 asks for no worker groups")
    found = programs.find(bindir_of(options.settings, Progress()), Progress(), given=options.settings.accept_programs)
    asked_for_shards = bool(options.required & SHARDS) and not any(map(job_plan.needs_workers, planned))
    kinds = options.settings.accept_workers is None and not found.missing.citus and not asked_for_shards
    units = job_plan.units_of(planned, durations(HISTORY), kinds)
    return job_plan.spread(units, kinds, job_plan.this_machine(), options.jobs)


def _begin(options: RunOptions, seed: int | None) -> Run:
    return begin_run(
        seed,
        options.required,
        options.shuffled,
        options.fail_on_flaky,
        replaceable=not (options.cluster or options.settings.external or options.keep),
    )


def _planned(selection: Selection, settings: Settings) -> Sequence[behave_process.Planned]:
    """The selected scenarios. Raises UsageError if anything about them is wrong, NothingJudged if there are none."""
    preflight.require_known_tags(selection)
    plan = behave_process.selected(selection)
    preflight.require_sound(selection, plan, settings.limits)
    return plan.scenarios


def _selected(options: RunOptions) -> Sequence[behave_process.Planned]:
    """The scenarios that a run selects. A run without any cannot begin, and still takes the place of the last one."""
    try:
        return _planned(options.selection, options.settings)
    except NothingJudged:
        report.withdraw_pages()
        run = _begin(options, options.seed)
        with Publisher(options.settings) as publisher, ExitStack() as cleanup:
            cleanup.callback(_forget, run)
            with _failure_published(publisher, run, options.settings):
                raise


def _forget(run: Run) -> None:
    """Remove the run's folder, except for its notes of rows that it may have left in a target that outlives it."""
    forget(run.directory, notes=not run.replaceable)


@contextmanager
def _failure_published(publisher: Publisher, run: Run, settings: Settings) -> Iterator[None]:
    """Also report on a run that cannot begin, and publish its metrics, since alerts rely on them."""
    try:
        yield
    except Exception as error:
        status = error.exit_status if isinstance(error, AcceptError) else NOTHING_JUDGED
        for line in publisher.publish(read(run.journal), status):
            say(line)
        report.of_failure(run, error, settings)
        raise


def _carried_out(run: Run, means: Means, settings: Settings, publisher: Publisher) -> bool:
    """Run the scenarios. False if Ctrl-C ended it, or a failure after the first verdict.

    A failure before any is published as that of a run that cannot begin, and raised.
    """
    try:
        return means.carry_out(run)
    except Exception as error:
        if read(run.journal).results:
            report.note_failure(run, error, settings)
            return False
        with _failure_published(publisher, run, settings):
            raise


def _going_on(run: Run, settings: Settings, action: Callable[[], bool]) -> bool:
    """What follows on verdicts that there are already: they are reported even if it fails, and the failure with them.

    False if Ctrl-C or a failure ended it.
    """
    try:
        return action()
    except Exception as error:
        report.note_failure(run, error, settings)
        return False


def _repeat(options: RunOptions, first: Run, means: Means, publisher: Publisher) -> int:
    """Run several times, and print which verdicts differ. Returns 1 if any does.

    The report that is kept is that of the worst run; among equals, the last. A run that cannot begin or continue is the
    last one.
    """
    records, worst, worst_status = list[RunRecord](), first, PASSED
    with ExitStack() as cleanup:
        for number, run in enumerate(_runs(options, first, cleanup), 1):
            say(f"run {number} of {options.repeat}, seed {run.seed}")
            if run is first:
                completed = _carried_out(run, means, options.settings, publisher)
            else:
                completed = _going_on(run, options.settings, partial(means.carry_out, run))
            if not completed:
                say(_STOPPED)
            status = _report(options, run, means, publisher, worst_status)
            records.append(read(run.journal))
            (worst, worst_status), (better, _) = sorted([(run, status), (worst, worst_status)], key=_rank)
            if better is not worst:
                _make_room(better, first)
            if not completed:
                break
        if worst is not run:
            say(f"the report is about the worst run, with seed {worst.seed}:")
            _report(options, worst, means, publisher, worst_status, in_history=True)
    return worst_status if steadiness.show(records, out) else BROKEN


def _runs(options: RunOptions, first: Run, cleanup: ExitStack) -> Iterator[Run]:
    """The first run and those that repeat it, each with the next seed."""
    yield first
    for number in range(1, options.repeat):
        run = _begin(options, first.seed + number)
        cleanup.callback(_forget, run)
        report.supersede_results()
        yield run


def _rank(ended: tuple[Run, int]) -> int:
    return _WORST_FIRST.index(ended[1])


def _make_room(run: Run, first: Run) -> None:
    """Remove what a run has left that will not be reported on again. The cluster may be in the folder of the first."""
    if run is first:
        shutil.rmtree(run.results, ignore_errors=True)
    else:
        _forget(run)


def _rerun(run: Run, means: Means) -> bool:
    """Run once more what failed and may pass: a wrong result is final. False if Ctrl-C ended it."""
    record = read(run.journal)
    rerun, final = record.worth_rerunning, len(record.failing) - len(record.worth_rerunning)
    if final:
        say(f"{final} gave a wrong result; not rerun: one wrong result is final")
    if not rerun:
        return True
    say(f"{len(rerun)} failed; rerunning")
    Journal(run.journal).rerun(rerun)
    return means.again(run, [one.scenario for one in rerun])


@contextmanager
def _meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something else in a thread, which is joined at the end."""
    other = threading.Thread(target=action)
    other.start()
    try:
        yield
    finally:
        other.join()


def _keep_up(place: KeptCluster, kept: Clusters) -> None:
    """Keep the cluster up until Ctrl-C or `accept down`."""

    def ended() -> None:
        if place.is_up:
            raise NotYet("it is up")

    if not place.file.exists():
        kept.current.topology.save(place.file)
    status.show_connections(place)
    say("the cluster stays up until Ctrl-C")
    with suppress(KeyboardInterrupt):
        eventually(ended, within=math.inf, subject="the cluster has ended", pause=1.0)
