"""The cluster under test, and the scenarios on it: another cluster takes its place if it does not recover."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support import own_folder
from support.cli import behave_process, clusters, targets, up
from support.cli.boot import boot_cluster, provide_citus, shape_of, with_ruvector
from support.cli.clusters import KeptCluster
from support.cli.console import Progress, say
from support.cli.run_options import RunOptions
from support.embedded.swarm_shapes import shape_like
from support.errors import AcceptError, ProcessFailed, RequirementMissing
from support.expectations import Expectations
from support.hosts import reentry_argv
from support.reporting.journal import Journal, read
from support.reporting.scenario import Scenario
from support.run import Run
from support.settings import Settings, variable_of
from support.target import changed_settings
from support.target.capabilities import lacking
from support.target.cluster import Cluster
from support.target.topology import Topology
from support.vocabulary import OWN, counted
from support.waiting import describe

MOST_REPLACEMENTS = 3
"""How many clusters of a run may be replaced because they did not recover."""


@dataclass(frozen=True)
class TargetCluster:
    """The cluster under test."""

    topology: Topology
    inside: Callable[[Sequence[str]], Sequence[str]] = list
    """Wraps a command so that it runs where the cluster can be reached."""
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Settings that point at the cluster, if it is reached from outside."""
    outlives: bool = False
    """Whether it is there after the run: then its faults are healed even when the run is stopped."""
    end: Callable[[], None] = lambda: None
    """Stops the cluster if it belongs to the run. Harmless when repeated."""


class Clusters:
    """The cluster under test, and those that take its place."""

    def __init__(
        self,
        options: RunOptions,
        place: KeptCluster,
        booted: Callable[[int, Topology], None] = lambda number, topology: None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """`booted` is called with each cluster and its number, `progress` with each step of a boot, which is otherwise
        printed."""
        self._options, self._place, self._booted, self._progress = options, place, booted, progress
        self._replaced = 0
        self.fit = True
        """Whether the current one may be used for further scenarios."""
        self.topologies = list[Topology]()
        """The topologies of all clusters: the report masks their passwords."""
        self.current = self._boot(place)

    def _boot(self, place: KeptCluster) -> TargetCluster:
        target = target_of(self._options, place, self._progress or Progress())
        self._booted(len(self.topologies), target.topology)
        self.topologies.append(target.topology)
        return target

    def end(self) -> None:
        """End the current one, as far as that is possible now. What is left of it is killed when the run is over."""
        try:
            self.current.end()
        except AcceptError as error:
            say(f"the cluster could not be stopped completely: {describe(error)}")

    def replace(self) -> None:
        """End the cluster that the run has booted, and boot another one in its place.

        The folder of the first one stays: this process is inside its sandbox, whose mounts lead there. Raises an
        AcceptError if the other one cannot be booted.
        """
        self.end()
        self._replaced += 1
        another = self._place.directory / clusters.BESIDE / str(self._replaced)
        self.current = self._boot(KeptCluster(another))
        self.fit = True


def target_of(options: RunOptions, place: KeptCluster, progress: Callable[[str], None]) -> TargetCluster:
    """The cluster to test. An embedded one is booted in `place`."""
    if options.cluster is not None:
        place = options.cluster
        return TargetCluster(
            place.topology,
            lambda argv: reentry_argv(place.sandbox_directory, behave_process.dies_with_us(argv)),
            outlives=True,
        )
    if options.settings.external:
        from support.target.baseline import apply_baseline
        from support.target.discovery import user_cluster  # half a second that other targets need not spend

        topology = as_configured(user_cluster.discover(options.settings))
        topology, _ = apply_baseline(topology, options.settings.expectations)
        if by := options.settings.accept_named_by:
            say(f"{by} names the cluster to test, {topology.called} (--target embedded: one of the suite's own)")
        return TargetCluster(topology, outlives=True)
    place.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if "citus" in options.required:
        provide_citus(options.settings, progress)
    settings = with_ruvector(options.settings) if "ruvector" in options.required else options.settings
    if shape_of(settings).outside:
        return _target_from_outside(options, settings, place)
    sandbox, topology = boot_cluster(settings, place.directory, progress)
    return TargetCluster(topology, end=sandbox.close)


def as_configured(topology: Topology) -> Topology:
    """A user's cluster, with the settings given back that killed runs have changed."""
    found = changed_settings.give_back(Cluster(topology))
    for line in (*found.done, *found.kept):
        say(f"an earlier run has changed settings: {line}")
    return changed_settings.undisturbed(topology, found)


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


def require(options: RunOptions, topology: Topology) -> None:
    if declared := options.settings.accept_expect:
        from support.target.baseline import require_declared_parts

        require_declared_parts(topology, Expectations.parse(declared))
    if missing := lacking(topology, options.required):
        raise RequirementMissing("; ".join(f"{one.name} is required but missing: {one.detail}" for one in missing))


def run_to_the_end(options: RunOptions, run: Run, tested: Clusters, chosen: Sequence[Scenario] = ()) -> bool:
    """Run the scenarios, or the chosen ones. False if Ctrl-C ended it.

    If a cluster does not recover, the scenarios that are left run on another one.
    """
    # behave accepts several lines of a file only if they come one after another
    places = [f"{file_of(one)}:{one.line}" for one in sorted(chosen, key=lambda one: (one.path, one.line))]
    queued, replacements = run.work is not None and not chosen, 0
    while True:
        if not tested.fit:
            if replacements == MOST_REPLACEMENTS:
                return _give_up(run, f"{counted(replacements + 1, 'cluster')} did not recover", places)
            replacements += 1
            try:
                tested.replace()
            except KeyboardInterrupt:
                return False
            except Exception as error:
                return _give_up(run, f"the cluster could not be replaced: {describe(error)}", places)
        if not _run_scenarios(options, run, tested.current, places):
            return False
        left = run.taken_over()
        tested.fit = left is None
        if left is not None and (left or queued):
            remaining = counted(len(left), "scenario")
            say(f"the cluster did not recover; another one takes its place for the rest: {remaining}")
            places = left
        elif left is None and places and queued:
            places = []  # what the cluster before had left is done: go on with the queue
        else:
            return True


def file_of(scenario: Scenario) -> Path:
    """Its feature file; that of a scenario in the user's own folder is shown from `features` on."""
    own = own_folder.given()
    return Path(scenario.path) if own is None or Path(scenario.path).exists() else own.directory / scenario.path


def _give_up(run: Run, why: str, left: Sequence[str]) -> bool:
    """Leave the rest of the run undone, and say why in the report. Returns True: nobody has stopped the run."""
    not_run = f"; the {counted(len(left), 'scenario')} left did not run" if left else ""
    say(f"{why}{not_run}")
    Journal(run.journal).trouble(f"{why}{not_run}")
    return True


def _run_scenarios(options: RunOptions, run: Run, target: TargetCluster, places: Sequence[str] = ()) -> bool:
    """Run behave, on the scenarios in these places (file:line) if any are given. False if Ctrl-C ended it.

    A failure of behave itself is a trouble in the journal. Raises ProcessFailed instead if other jobs share the run.
    """
    target.topology.save(run.topology)
    replace(run, picking=not places).save()
    selected, troubles = places or options.selection.arguments, len(read(run.journal).troubles)
    behave = [*behave_process.behave_argv(), *behave_process.run_arguments(run, selected)]
    try:
        variables = as_variables({**options.given, **target.given})
        # The faults are healed, and then it is waited until the cluster is healthy again.
        heals_within = 2 * target.topology.timing.recovery if target.outlives else 0.0
        status = behave_process.run(target.inside(behave), variables, heals_within=heals_within)
    except KeyboardInterrupt:
        return False
    killed, opened = status < 0 or status > 128, run.was_opened()
    if run.work is not None:
        if killed or not opened:
            what = "was killed" if killed else "could not begin"
            raise ProcessFailed(f"behave {what}, with status {status}; another job does what it left")
    elif Journal(run.journal).close() or killed:
        _tell_of_a_crash(run, status, killed, target.outlives)
    elif not opened and len(read(run.journal).troubles) == troubles:
        what = f"behave could not begin, and ended with status {status}; its messages are above"
        say(what)
        Journal(run.journal).trouble(what)
    return True


def _tell_of_a_crash(run: Run, status: int, killed: bool, outlives: bool) -> None:
    """behave ended before the run was over, unasked: the journal notes a trouble, not an interruption."""
    what = f"behave {'was killed' if killed else 'ended too early'}, with status {status}"
    if outlives:
        what += "; faults that it injected may still be in effect: ./accept heal undoes them"
    say(what)
    Journal(run.journal).trouble(what)


def as_variables(given: Mapping[str, Any]) -> dict[str, str]:
    """Settings as environment variables for behave's process, where no other user can see them."""
    return {variable_of(name): _as_variable(value) for name, value in given.items() if not name.startswith(OWN)}


def _as_variable(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    return str(value) if isinstance(value, str | Path) else json.dumps(value)
