"""`accept run`: a target, the selected scenarios on it, the report, the exit status."""

import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.cli import behaving, clusters, jobs, reaching, report, targets, upkeep
from support.cli.booting import Progress, boot_cluster, provide_citus, with_ruvector
from support.cli.clusters import Kept
from support.cli.console import out, say
from support.cli.suites import Selection
from support.embedded import programs
from support.embedded.swarm_shapes import shape_like
from support.errors import AcceptError, RequirementMissing, UsageError
from support.expectations import Expectations
from support.hosts import reentry_argv
from support.reporting import steadiness
from support.reporting.journal import INTERRUPTED, NOTHING_JUDGED, Journal, RunRecord, read
from support.reporting.publishing import Publisher
from support.reporting.scenario import Scenario
from support.run import Run, begin_run, note_over
from support.settings import Settings, variable_of
from support.target.capabilities import CAPABILITIES, lacking
from support.target.topology import Topology
from support.waiting import NotYet, eventually

_STOPPED = "stopped; this is what was done so far:"
FORMATTER = "allure_behave.formatter:AllureFormatter"


@dataclass(frozen=True)
class Order:
    """What the user asked for."""

    selection: Selection
    settings: Settings
    said: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The settings that the command line gave; behave must know them too."""
    cluster: Kept | None = None
    """A cluster that is up, to be used instead of a new one."""
    required: frozenset[str] = frozenset()
    seed: int | None = None
    keep: bool = False
    repeat: int = 1
    """So many runs, each on the same cluster, with the next seed."""
    shuffled: bool = False
    jobs: int = 1
    """So many clusters, and the features spread over them."""
    rerun: bool = False
    """What failed is run once more."""
    share_of: Path | None = None
    """The folder of the run that is spread; None in the process that the user started."""

    def __post_init__(self) -> None:
        if unknown := sorted(self.required - CAPABILITIES.keys()):
            raise UsageError(f"--require {', '.join(unknown)}: there is only {', '.join(CAPABILITIES)}")
        if self.settings.accept_own_schema and (self.cluster or not self.settings.external):
            raise UsageError("--own-schema is for a cluster of yours; an embedded one has the example's tables")
        if self.keep and (self.cluster or self.settings.external):
            raise UsageError("--keep is for a cluster that the run itself boots")
        if self.settings.accept_like and (self.cluster or self.settings.external):
            raise UsageError("--like boots a cluster, and the target is another one: leave out one of them")
        asked = {"jobs": self.jobs > 1, "keep": self.keep, "repeat": self.repeat > 1, "rerun": self.rerun}
        for one, other in (
            ("keep", "repeat"),
            ("jobs", "keep"),
            ("jobs", "repeat"),
            ("jobs", "rerun"),
            ("repeat", "rerun"),
        ):
            if asked[one] and asked[other]:
                raise UsageError(f"--{one} and --{other} do not go together")
        if self.jobs > 1 and (self.cluster or self.settings.external):
            raise UsageError("--jobs is for clusters that the run itself boots; this target is one cluster")


@dataclass(frozen=True)
class Target:
    """The cluster to test."""

    topology: Topology
    inside: Callable[[Sequence[str]], Sequence[str]] = list
    """Makes the command that runs a command where the cluster can be reached."""
    said: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Settings that point at the cluster, where it is met from outside."""
    end: Callable[[], None] = lambda: None
    """Ends the cluster where it is the run's own; harmless when repeated."""


def carry_out(order: Order, arguments: Sequence[str] = ()) -> int:
    """Run the scenarios; the exit status. With an embedded cluster all but the beginning happens in its sandbox.

    `arguments` are the command line, for processes of ours.
    """
    if order.share_of is not None:
        return _carry_out_share(order, order.share_of)
    planned = behaving.plan_selection(order.selection)
    clusters.sweep()
    report.make_ready()
    run = begin_run(order.seed, order.required, order.shuffled, order.jobs)
    say(f"{len(planned)} scenarios; seed {run.seed} (with --seed {run.seed} the random choices are the same again)")
    with Publisher(order.settings) as publisher, ExitStack() as cleanup, behaving.interruptible():
        cleanup.callback(_forget, run)
        if order.jobs > 1:
            return _spread(order, run, arguments, publisher)
        place = clusters.kept(f"run-{run.id}") if order.keep else Kept(run.directory)
        with _told_when_it_fails(publisher):
            target = _target(order, place)
            cleanup.callback(target.end)
            _require(order, target.topology)
        if order.repeat > 1:
            return _repeat(order, run, target, publisher)
        to_its_end = _run_scenarios(order, run, target) and (not order.rerun or _rerun(order, run, target))
        if not to_its_end:
            say(_STOPPED)
        if order.keep and to_its_end:
            status = report.of_run(run, [target.topology], publisher)
            _hold(place, target)
            return status
        with _meanwhile(target.end):
            return report.of_run(run, [target.topology], publisher)


def _forget(run: Run) -> None:
    """Remove the run's folder. Where rows may be left in the target, what stays tells the next run that it is over."""
    rows_left = bool(read(run.journal).troubles)
    shutil.rmtree(run.directory, ignore_errors=True)
    if rows_left:
        note_over(run)


def _spread(order: Order, run: Run, arguments: Sequence[str], publisher: Publisher) -> int:
    """Let jobs carry the run out, and report on it."""
    with _told_when_it_fails(publisher):
        if "citus" in order.required:
            provide_citus(order.settings, Progress())
        if "ruvector" in order.required:
            with_ruvector(order.settings)
        programs.find(order.settings.accept_pg_bindir, Progress())  # what is missing is installed once, not by each job
    if not jobs.carry_out(run, order.jobs, arguments):
        say(_STOPPED)
    return report.of_run(run, jobs.topologies(run), publisher)


def _carry_out_share(order: Order, whole: Path) -> int:
    """Run, on a cluster of our own, those features that no other job takes."""
    run = Run.load(whole / "run.json").share()
    with ExitStack() as cleanup, behaving.interruptible():
        cleanup.callback(shutil.rmtree, run.directory, ignore_errors=True)
        target = _target(order, Kept(run.directory))
        cleanup.callback(target.end)
        target.topology.save(whole / jobs.TOPOLOGY.replace("*", run.directory.name))
        _require(order, target.topology)
        return 0 if _run_scenarios(order, run, target) else INTERRUPTED


def _target(order: Order, place: Kept) -> Target:
    """The cluster that was ordered. One of our own is booted in `place`."""
    if order.cluster is not None:
        place = order.cluster
        return Target(place.topology, lambda argv: reentry_argv(place.sandbox_directory, behaving.mortal(argv)))
    if order.settings.external:
        from support.target.baseline import apply_baseline
        from support.target.discovery import (
            user_cluster,  # half a second of imports that other targets need not wait for
        )

        topology, _ = apply_baseline(user_cluster.discover(order.settings), order.settings.expectations)
        return Target(topology)
    place.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    progress = Progress()
    if "citus" in order.required:
        provide_citus(order.settings, progress)
    settings = with_ruvector(order.settings) if "ruvector" in order.required else order.settings
    if settings.accept_like:
        return _met_from_outside(order, settings, place)
    sandbox, topology = boot_cluster(settings, place.directory, progress)
    return Target(topology, end=sandbox.close)


def _met_from_outside(order: Order, settings: Settings, place: Kept) -> Target:
    """A cluster in the shape of another installation, booted in `place` and met as its users meet it."""
    if not order.keep:
        place = Kept(place.directory / clusters.BESIDE)  # the run's own files have the same names
    from support.target.discovery import user_cluster

    shape_like(str(settings.accept_like))  # who asks for one that is not there shall wait for no process
    upkeep.up_meanwhile(place, settings)
    try:
        said = targets.of_file(place.target)
        topology = user_cluster.discover(Settings.load({**order.said, **said}))
    except BaseException:
        place.sandbox.end()
        raise
    return Target(topology, said=said, end=place.sandbox.end)


def _require(order: Order, topology: Topology) -> None:
    if declared := order.settings.accept_expect:
        from support.target.baseline import require_declared_parts

        require_declared_parts(topology, Expectations.parse(declared))
    if missing := lacking(topology, order.required):
        raise RequirementMissing("; ".join(f"{one.name} is required and not there: {one.detail}" for one in missing))


@contextmanager
def _told_when_it_fails(publisher: Publisher) -> Iterator[None]:
    """A run that cannot begin has metrics too: there is nothing else that an alert could go by."""
    try:
        yield
    except Exception as error:
        status = error.exit_status if isinstance(error, AcceptError) else NOTHING_JUDGED
        for line in publisher.publish(RunRecord(), status):
            say(line)
        raise


def _repeat(order: Order, first: Run, target: Target, publisher: Publisher) -> int:
    """Run again and again, and see whether all runs agree; 1 when they do not."""
    records, statuses = [], []
    for number in range(order.repeat):
        run = first if number == 0 else begin_run(first.seed + number, order.required, order.shuffled)
        say(f"run {number + 1} of {order.repeat}, seed {run.seed}")
        to_its_end = _run_scenarios(order, run, target)
        if not to_its_end:
            say(_STOPPED)
        statuses.append(report.of_run(run, [target.topology], publisher))
        records.append(read(run.journal))
        shutil.rmtree(run.directory if number else run.results, ignore_errors=True)
        if not to_its_end:
            break
    steady = steadiness.show(records, out)
    return max(statuses) if steady else max(1, *statuses)


def _rerun(order: Order, run: Run, target: Target) -> bool:
    """Run what failed once more; whether to its end, and not to a Ctrl-C."""
    failing = read(run.journal).failing
    if not failing:
        return True
    say(f"{len(failing)} failed; now once more")
    Journal(run.journal).rerun(failing)
    return _run_scenarios(order, run, target, [one.scenario for one in failing])


def _run_scenarios(order: Order, run: Run, target: Target, chosen: Sequence[Scenario] = ()) -> bool:
    """Run behave, on the chosen scenarios if there are any; whether to its end, and not to a Ctrl-C."""
    target.topology.save(run.topology)
    formatter = ["--format", FORMATTER, "--outfile", str(run.results), "--no-summary"]
    # behave takes the lines of a file only when they come together
    places = [f"{one.path}:{one.line}" for one in sorted(chosen, key=lambda one: (one.path, one.line))]
    what = places or order.selection.arguments
    behave = [*behaving.BEHAVE, "-D", f"accept_run={run.file}", *formatter, *what]
    try:
        behaving.run(target.inside(behave), _as_variables({**order.said, **target.said}))
    except KeyboardInterrupt:
        return False
    return True


@contextmanager
def _meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something else at the same time; both are done at the end."""
    other = threading.Thread(target=action)
    other.start()
    try:
        yield
    finally:
        other.join()


def _as_variables(said: Mapping[str, Any]) -> dict[str, str]:
    """Settings as behave's process takes them: by its environment, for nobody else to see."""
    return {
        variable_of(name): str(value) if isinstance(value, str | Path) else json.dumps(value)
        for name, value in said.items()
    }


def _hold(place: Kept, target: Target) -> None:
    """Leave the cluster up until Ctrl-C, or `accept down`."""

    def ended() -> None:
        if place.lives:
            raise NotYet("it lives")

    if not place.file.exists():
        target.topology.save(place.file)
    reaching.show(place)
    say("the cluster stays up until Ctrl-C")
    with suppress(KeyboardInterrupt):
        eventually(ended, within=math.inf, subject="the cluster has ended", pause=1.0)
