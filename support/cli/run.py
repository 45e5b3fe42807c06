"""`accept run`: boots or finds the target, runs the selected scenarios there, and writes the report."""

import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from support import own_folder
from support.cli import behave_process, clusters, preflight, report, run_processes, status, targets, up
from support.cli.boot import boot_cluster, provide_citus, with_ruvector
from support.cli.clusters import KeptCluster
from support.cli.console import Progress, out, say
from support.cli.suites import Selection
from support.embedded import programs
from support.embedded.swarm_shapes import shape_like
from support.errors import AcceptError, RequirementMissing, UsageError
from support.expectations import Expectations
from support.hosts import reentry_argv
from support.reporting import steadiness
from support.reporting.journal import INTERRUPTED, NOTHING_JUDGED, Journal, RunRecord, read
from support.reporting.metrics import Publisher
from support.reporting.scenario import Scenario
from support.run import Run, begin_run, forget
from support.settings import Settings, variable_of
from support.target.capabilities import CAPABILITIES, lacking
from support.target.topology import Topology
from support.vocabulary import OWN
from support.waiting import NotYet, describe, eventually

MOST_REPLACEMENTS = 3
"""How many clusters of a run may be replaced because they did not recover."""
_STOPPED = "stopped; this is what was done so far:"
_COMPATIBLE = {frozenset({"rerun", "keep"})}
"""Of the options jobs, keep, repeat and rerun, the pairs that go together."""


@dataclass(frozen=True)
class RunOptions:
    """What the user asked for. Raises UsageError for options that do not go together."""

    selection: Selection
    settings: Settings
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The settings given on the command line, which behave has to know, too."""
    cluster: KeptCluster | None = None
    """A running cluster to use instead of a new one."""
    required: frozenset[str] = frozenset()
    """Capabilities without which the run fails."""
    seed: int | None = None
    keep: bool = False
    """Keep the embedded cluster up after the run."""
    repeat: int = 1
    """How many runs, on the same cluster, each with the next seed."""
    shuffled: bool = False
    jobs: int = 1
    """How many clusters the features are spread over."""
    rerun: bool = False
    """Run what failed once more, unless a result was wrong."""
    fail_on_flaky: bool = False
    """Fail if a scenario passes only on the rerun."""
    share_of: Path | None = None
    """In a job: the folder of the run that it has a share of."""

    def __post_init__(self) -> None:
        if unknown := sorted(self.required - CAPABILITIES.keys()):
            raise UsageError(f"--require {', '.join(unknown)}: the capabilities are {', '.join(CAPABILITIES)}")
        other_target = self.cluster or self.settings.external
        if self.settings.accept_own_schema and (self.cluster or not self.settings.external):
            raise UsageError("--own-schema is for your own cluster; the embedded one already has the example's tables")
        if self.keep and other_target:
            raise UsageError("--keep is for a cluster that the run itself boots")
        if self.settings.accept_like and other_target:
            raise UsageError("--like boots a cluster, but the target is another one; leave out one of the two")
        asked = {"jobs": self.jobs > 1, "keep": self.keep, "repeat": self.repeat > 1, "rerun": self.rerun}
        for one, other in combinations([name for name, wanted in asked.items() if wanted], 2):
            if frozenset({one, other}) not in _COMPATIBLE:
                raise UsageError(f"--{one} and --{other} do not go together")
        if self.fail_on_flaky and not self.rerun:
            raise UsageError("--fail-on-flaky is about scenarios that pass on the rerun; it goes with --rerun")
        if self.jobs > 1 and other_target:
            raise UsageError("--jobs is for clusters that the run itself boots; this target is one cluster")


@dataclass(frozen=True)
class TargetCluster:
    """The cluster under test."""

    topology: Topology
    inside: Callable[[Sequence[str]], Sequence[str]] = list
    """Wraps a command so that it runs where the cluster can be reached."""
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Settings that point at the cluster, if it is reached from outside."""
    end: Callable[[], None] = lambda: None
    """Stops the cluster if it belongs to the run. Harmless when repeated."""


class _Clusters:
    """The cluster under test, and those that take its place."""

    def __init__(self, options: RunOptions, place: KeptCluster) -> None:
        self._options, self._place = options, place
        self.current = _target(options, place)
        self._replaced = 0
        self.fit = True
        """Whether the current one may be used for further scenarios."""
        self.topologies = [self.current.topology]
        """Of all of them: the report masks their passwords."""

    def end(self) -> None:
        """End the current one, as far as that is possible now. What is left of it is killed when the run is over."""
        try:
            self.current.end()
        except AcceptError as error:
            say(f"not all of the cluster could be ended: {describe(error)}")

    def replace(self) -> None:
        """End the cluster that the run has booted, and boot another one in its place.

        The folder of the first one stays: this process is inside its sandbox, whose mounts lead there. Raises an
        AcceptError if the other one cannot be booted.
        """
        self.end()
        self._replaced += 1
        another = self._place.directory / clusters.BESIDE / str(self._replaced)
        self.current = _target(self._options, KeptCluster(another))
        self.topologies.append(self.current.topology)
        self.fit = True


def show_plan(selection: Selection, settings: Settings) -> int:
    """Print the scenarios that would run, and return the exit status. Raises NothingJudged if there are none."""
    planned = _planned(selection, settings)
    for one in planned:
        out.print(f"{one.location}: {one.name}", markup=False)
    say(f"{len(planned)} scenarios would run")
    return 0


def run(options: RunOptions, arguments: Sequence[str] = ()) -> int:
    """Run the scenarios, and return the exit status.

    With an embedded cluster everything after its boot happens inside its sandbox. `arguments` are the command line, for
    further processes of this program.
    """
    if options.share_of is not None:
        return _run_share(options, options.share_of)
    planned = _planned(options.selection, options.settings)
    clusters.sweep()
    report.prepare()
    run = _begin(options, options.seed)
    say(f"{len(planned)} scenarios; seed {run.seed} (--seed {run.seed} repeats the random choices)")
    with Publisher(options.settings) as publisher, ExitStack() as cleanup, behave_process.sigterm_interrupts():
        cleanup.callback(_forget, run)
        if options.jobs > 1:
            return _run_in_jobs(options, run, arguments, publisher)
        place = clusters.named(f"run-{run.id}") if options.keep else KeptCluster(run.directory)
        with _failure_published(publisher):
            tested = _Clusters(options, place)
            cleanup.callback(tested.end)
            _require(options, tested.current.topology)
        if options.repeat > 1:
            return _repeat(options, run, tested, publisher)
        completed = _run_to_the_end(options, run, tested) and (not options.rerun or _rerun(options, run, tested))
        if not completed:
            say(_STOPPED)
        if options.keep and completed:
            exit_status = report.of_run(run, tested.topologies, publisher)
            _keep_up(place, tested.current)
            return exit_status
        with _meanwhile(tested.end):
            return report.of_run(run, tested.topologies, publisher)


def _begin(options: RunOptions, seed: int | None) -> Run:
    return begin_run(
        seed,
        options.required,
        options.shuffled,
        options.jobs,
        options.fail_on_flaky,
        replaceable=not (options.cluster or options.settings.external or options.keep),
    )


def _planned(selection: Selection, settings: Settings) -> Sequence[behave_process.Planned]:
    """The selected scenarios. Raises UsageError if anything about them is wrong, NothingJudged if there are none."""
    preflight.require_known_tags(selection)
    plan = behave_process.selected(selection)
    preflight.require_sound(selection, plan, settings.limits)
    return plan.scenarios


def _forget(run: Run) -> None:
    """Remove the run's folder, except for its notes of rows that it may have left in a target that outlives it."""
    if run.replaceable:
        shutil.rmtree(run.directory, ignore_errors=True)
    else:
        forget(run.directory)


def _run_in_jobs(options: RunOptions, run: Run, arguments: Sequence[str], publisher: Publisher) -> int:
    with _failure_published(publisher):
        if "citus" in options.required:
            provide_citus(options.settings, Progress())
        if "ruvector" in options.required:
            with_ruvector(options.settings)
        programs.find(options.settings.accept_pg_bindir, Progress())  # install missing programs once, not in each job
    if not run_processes.run_jobs(run, options.jobs, arguments):
        say(_STOPPED)
    return report.of_run(run, run_processes.topologies(run), publisher)


def _run_share(options: RunOptions, whole: Path) -> int:
    """In a job: boot a cluster, and run the features that no other job takes."""
    run = Run.load(whole / "run.json").share()
    with ExitStack() as cleanup, behave_process.sigterm_interrupts():
        cleanup.callback(shutil.rmtree, run.directory, ignore_errors=True)
        tested = _Clusters(options, KeptCluster(run.directory))
        cleanup.callback(tested.end)
        _require(options, tested.current.topology)
        completed = _run_to_the_end(options, run, tested)
        for number, topology in enumerate(tested.topologies):
            topology.save(whole / run_processes.TOPOLOGY.replace("*", f"{run.directory.name}-{number}"))
        return 0 if completed else INTERRUPTED


def _target(options: RunOptions, place: KeptCluster) -> TargetCluster:
    """The cluster to test. An embedded one is booted in `place`."""
    if options.cluster is not None:
        place = options.cluster
        return TargetCluster(
            place.topology, lambda argv: reentry_argv(place.sandbox_directory, behave_process.dies_with_us(argv))
        )
    if options.settings.external:
        from support.target.baseline import apply_baseline
        from support.target.discovery import user_cluster  # half a second that other targets need not spend

        topology, _ = apply_baseline(user_cluster.discover(options.settings), options.settings.expectations)
        return TargetCluster(topology)
    place.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    progress = Progress()
    if "citus" in options.required:
        provide_citus(options.settings, progress)
    settings = with_ruvector(options.settings) if "ruvector" in options.required else options.settings
    if settings.accept_like:
        return _target_from_outside(options, settings, place)
    sandbox, topology = boot_cluster(settings, place.directory, progress)
    return TargetCluster(topology, end=sandbox.close)


def _target_from_outside(options: RunOptions, settings: Settings, place: KeptCluster) -> TargetCluster:
    """Boot a cluster shaped like another installation in `place`, and reach it from outside, as its users do."""
    if not options.keep:
        place = KeptCluster(place.directory / clusters.BESIDE)  # the run's own files have the same names
    from support.target.discovery import user_cluster

    shape_like(str(settings.accept_like))  # refuse an unknown shape before starting a process
    up.up_for_this_process(place, settings)
    try:
        given = targets.of_file(place.target)
        topology = user_cluster.discover(Settings.load({**options.given, **given}))
    except BaseException:
        place.sandbox.end()
        raise
    return TargetCluster(topology, given=given, end=place.sandbox.end)


def _require(options: RunOptions, topology: Topology) -> None:
    if declared := options.settings.accept_expect:
        from support.target.baseline import require_declared_parts

        require_declared_parts(topology, Expectations.parse(declared))
    if missing := lacking(topology, options.required):
        raise RequirementMissing("; ".join(f"{one.name} is required but missing: {one.detail}" for one in missing))


@contextmanager
def _failure_published(publisher: Publisher) -> Iterator[None]:
    """Publish metrics for a run that cannot begin, too, since alerts rely on them."""
    try:
        yield
    except Exception as error:
        status = error.exit_status if isinstance(error, AcceptError) else NOTHING_JUDGED
        for line in publisher.publish(RunRecord(), status):
            say(line)
        raise


def _repeat(options: RunOptions, first: Run, tested: _Clusters, publisher: Publisher) -> int:
    """Run several times, and print which verdicts differ. Returns 1 if any does."""
    records, statuses = [], []
    for number in range(options.repeat):
        run = first if number == 0 else _begin(options, first.seed + number)
        say(f"run {number + 1} of {options.repeat}, seed {run.seed}")
        completed = _run_to_the_end(options, run, tested)
        if not completed:
            say(_STOPPED)
        statuses.append(report.of_run(run, tested.topologies, publisher))
        records.append(read(run.journal))
        shutil.rmtree(run.results, ignore_errors=True)
        if number:
            _forget(run)
        if not completed:
            break
    steady = steadiness.show(records, out)
    return max(statuses) if steady else max(1, *statuses)


def _rerun(options: RunOptions, run: Run, tested: _Clusters) -> bool:
    """Run once more what failed and may pass: a wrong result is final. False if Ctrl-C ended it."""
    record = read(run.journal)
    rerun, final = record.worth_rerunning, len(record.failing) - len(record.worth_rerunning)
    if final:
        say(f"{final} gave a wrong result; not rerun: once broken is broken")
    if not rerun:
        return True
    say(f"{len(rerun)} failed; rerunning")
    Journal(run.journal).rerun(rerun)
    return _run_to_the_end(options, run, tested, [one.scenario for one in rerun])


def _run_to_the_end(options: RunOptions, run: Run, tested: _Clusters, chosen: Sequence[Scenario] = ()) -> bool:
    """Run the scenarios, or the chosen ones. False if Ctrl-C ended it.

    If a cluster does not recover, the scenarios that are left run on another one.
    """
    # behave accepts several lines of a file only if they come one after another
    places = [f"{_file_of(one)}:{one.line}" for one in sorted(chosen, key=lambda one: (one.path, one.line))]
    queued, replacements = run.queue is not None and not chosen, 0
    while True:
        if not tested.fit:
            if replacements == MOST_REPLACEMENTS:
                return _give_up(run, f"{replacements + 1} clusters did not recover", places)
            replacements += 1
            try:
                tested.replace()
            except KeyboardInterrupt:
                return False
            except Exception as error:
                return _give_up(run, f"no cluster could take the place of another one: {describe(error)}", places)
        if not _run_scenarios(options, run, tested.current, places):
            return False
        left = run.taken_over()
        tested.fit = left is None
        if left is not None and (left or queued):
            say(f"the cluster did not recover; another one takes its place for the {len(left)} scenarios that are left")
            places = left
        elif left is None and places and queued:
            places = []  # what the cluster before had left is done: go on with the queue
        else:
            return True


def _file_of(scenario: Scenario) -> Path:
    """Its feature file; that of a scenario in the user's own folder is shown from `features` on."""
    own = own_folder.given()
    return Path(scenario.path) if own is None or Path(scenario.path).exists() else own.directory / scenario.path


def _give_up(run: Run, why: str, left: Sequence[str]) -> bool:
    """Leave the rest of the run undone, and say why in the report. Returns True: nobody has stopped the run."""
    if run.queue is not None:
        run.queue.last(run.jobs)  # so that the last of the other processes runs what comes at the end
    not_run = f"; the {len(left)} scenarios that were left did not run" if left else ""
    say(f"{why}{not_run}")
    Journal(run.journal).trouble(f"{why}{not_run}")
    return True


def _run_scenarios(options: RunOptions, run: Run, target: TargetCluster, places: Sequence[str] = ()) -> bool:
    """Run behave, on the scenarios in these places (file:line) if any are given. False if Ctrl-C ended it."""
    target.topology.save(run.topology)
    replace(run, picking=not places).save()
    formatter = ["--format", behave_process.FORMATTER, "--outfile", str(run.results), "--no-summary"]
    what = places or options.selection.arguments
    behave = [
        *behave_process.behave_argv(),
        "-D",
        f"accept_run={run.file}",
        *formatter,
        *what,
    ]
    try:
        behave_process.run(target.inside(behave), _as_variables({**options.given, **target.given}))
    except KeyboardInterrupt:
        return False
    return True


@contextmanager
def _meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something else in a thread, which is joined at the end."""
    other = threading.Thread(target=action)
    other.start()
    try:
        yield
    finally:
        other.join()


def _as_variables(given: Mapping[str, Any]) -> dict[str, str]:
    """Settings as environment variables for behave's process, where no other user can see them."""
    return {
        variable_of(name): str(value) if isinstance(value, str | Path) else json.dumps(value)
        for name, value in given.items()
        if not name.startswith(OWN)
    }


def _keep_up(place: KeptCluster, target: TargetCluster) -> None:
    """Keep the cluster up until Ctrl-C or `accept down`."""

    def ended() -> None:
        if place.is_up:
            raise NotYet("it is up")

    if not place.file.exists():
        target.topology.save(place.file)
    status.show_connections(place)
    say("the cluster stays up until Ctrl-C")
    with suppress(KeyboardInterrupt):
        eventually(ended, within=math.inf, subject="the cluster has ended", pause=1.0)
