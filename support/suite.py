"""The run as environment.py uses it: opened before the first scenario, a world for each scenario, closed at the end."""

import copy
import os
import random
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from support import libpq, sql
from support.embedded.encrypted import encrypted_cluster
from support.engine import limits
from support.engine.experiment import Experiment
from support.engine.fault_picture import attach
from support.engine.fault_record import at_epoch
from support.engine.incident import incident_of
from support.engine.saturation import excuse, watch_of
from support.engine.time_spent import measure_time_spent
from support.engine.world import World
from support.errors import (
    AcceptError,
    ConnectFailed,
    Inconclusive,
    NoRoom,
    NotAvailable,
    NotInTime,
    UnhealthyCluster,
    UsageError,
)
from support.example_app import schema
from support.hosts import reentry_argv
from support.hosts.remote import RemoteSite
from support.hosts.room import run_out
from support.reporting import promises
from support.reporting.evidence import Evidence, Redactor, chain, events_since
from support.reporting.recorder import note_not_begun
from support.run import CAPABILITIES_SEEN, CLUSTERS, Run, begin_run, new_id
from support.settings import Settings
from support.target import changed_settings, leftovers, tables
from support.target.baseline import apply_baseline
from support.target.capabilities import TLS, capabilities_of, lacking, lost_since_last_run, why_missing
from support.target.cluster import Cluster
from support.target.discovery import user_cluster
from support.target.health import await_all
from support.target.stored import Notes, parts_of
from support.target.topology import Topology
from support.timeouts import RECOVERY
from support.waiting import describe, look_again
from support.work import SharedWork

_MEMBERS = frozenset({"members", "replicas", "hosts"})
"""A scenario that needs any of these observes the members of one group, so its rows must be stored there."""


class Suite:
    """One run of the scenarios against one cluster."""

    def __init__(self, run: Run, topology: Topology, settings: Settings, report: bool, cleanup: ExitStack) -> None:
        """`report`: whether files for a report are written while the scenarios run. `cleanup`: called at the end."""
        if not report:
            why = "no report is written in this run: behave was started without Allure's formatter"
            topology = replace(topology, lacks={**topology.lacks, "report": why})
        self.run, self.settings = run, settings
        self._work = SharedWork(run.work) if run.work and run.picking else None
        self._known: dict[str, Any] = {}
        self._handed_over: list[str] = []
        self._cleanup = cleanup
        own = settings.accept_own_schema and not topology.embedded
        # First the configuration: a slot that is still in it is not left, and would be when it is given back.
        self._changed = changed_settings.give_back(Cluster(topology))
        self.leftovers = leftovers.remove(Cluster(topology), run.id, search=not (topology.embedded or own))
        topology = changed_settings.undisturbed(topology, self._changed)
        self._notes = Notes(run.directory, topology, own_tables=own)
        topology = tables.own_tables(topology, run.id, self._cleanup) if own else topology
        self.topology, self.known_limits = apply_baseline(
            topology, settings.expectations, settings.accept_timeout_multiplier
        )
        self.cluster = Cluster(self.topology)
        self.unfit = run.unfit and _still_unfit(self.cluster, run.unfit)
        """Why the cluster is no longer fit for further faults; empty as long as it is."""
        self._local = tables.local_tables(self.cluster, run.id, self._cleanup)
        self.redactor = Redactor(self.topology.secrets)
        watch, self._saturated = watch_of(self.topology)
        self._cleanup.enter_context(watch)
        self._scenario_begun = time.monotonic()
        self.capabilities = {one.name: "" if one.present else one.detail for one in capabilities_of(self.topology)}
        self.lost = lost_since_last_run(self.topology, CAPABILITIES_SEEN)

    @classmethod
    def open(cls, said: Mapping[str, Any], report: bool) -> "Suite":
        """Open the run that `-D accept_run=` names.

        Without it (plain behave), the target is the user's cluster if the settings name one, else the newest cluster of
        `accept up`: then a process in that cluster's sandbox replaces this one. Raises UsageError if there is neither.
        """
        libpq.set_apart()
        settings = Settings.load(said)
        if settings.accept_run is not None:
            run = Run.load(settings.accept_run)
            return cls.on(run, Topology.load(run.topology), settings, report)
        run = begin_run()
        topology = user_cluster.discover(settings) if settings.external else newest_cluster()
        topology.save(run.topology)
        if topology.embedded:
            enter_sandbox(topology, run)
        return cls.on(run, topology, settings, report)

    @classmethod
    def on(cls, run: Run, topology: Topology, settings: Settings, report: bool) -> "Suite":
        """Open the run against this cluster. If that fails, whatever was created by then is removed again."""
        with ExitStack() as cleanup:
            suite = cls(run, topology, settings, report, cleanup)
            suite._cleanup = cleanup.pop_all()
        return suite

    @property
    def facts(self) -> Mapping[str, str]:
        """What the report should tell of the run beside the versions and settings of its target."""
        changed = "; ".join((*self._changed.done, *self._changed.kept))
        found = {"Clusters": self.run.clusters, "Settings changed by earlier runs": changed}
        return {**self.leftovers.facts, **{name: told for name, told in found.items() if told}}

    def shuffle(self, features: list[Any]) -> None:
        """Put behave's features, and the scenarios in each, into a random order if the run asks for it."""
        if not self.run.shuffled:
            return
        chance = random.Random(self.run.seed)
        chance.shuffle(features)
        for feature in features:
            chance.shuffle(feature.run_items)

    def share(self, features: list[Any]) -> None:
        """If several processes share the run, replace behave's list of features by the first work that this one takes.

        Features about speed come last, when the other processes have ended: they need the machine for themselves.
        """
        if self._work is None:
            return
        self._known = {feature.filename: feature for feature in features}
        features.clear()
        self.take_next(features)

    def take_next(self, features: list[Any]) -> None:
        """Append the next work that no process has taken; behave continues with what is appended to its list."""
        if self._work is None or (self.unfit and self.run.replaceable):
            return
        unit = self._work.take(self.run.workers is not False, self.run.alone)
        if unit is not None:
            features.append(_part(self._known[unit.feature], frozenset(unit.lines)))

    def missing_for(self, tags: Iterable[str]) -> str:
        """Why scenarios with these tags cannot run against this target; empty if they can."""
        missing = lacking(self._cluster_for(tags).topology, frozenset(tags))
        return why_missing({one.name: one.detail for one in missing})

    def leaves_out(self, scenario: Any) -> bool:
        """Whether behave's scenario is not to run, because the cluster did not recover from an earlier one.

        A cluster that the run can replace gets no further scenario: the next cluster does. Another one is not disturbed
        any further.
        """
        tags = scenario.effective_tags
        disturbs = "destructive" in tags and not self.missing_for(tags)
        if not self.unfit or not (self.run.replaceable or disturbs):
            return False
        self._handed_over.append(f"{scenario.filename}:{scenario.line}")
        return True

    def require_known_limits(self, features: Iterable[Any], registry: Any) -> None:
        """Raises UsageError if a limit of the user's replaces none of those that the scenarios of its promise state.

        `accept run` has checked all limits before it started this process. Plain behave may have read a few features
        only; then the limits of their promises are checked.
        """
        if self.settings.accept_run is not None or not self.settings.limits:
            return
        stated = dict[str, list[limits.Stated]]()
        for scenario in (one for feature in features for one in feature.walk_scenarios()):
            for id in _ids(scenario.effective_tags):
                stated.setdefault(id, []).extend(limits.of_scenario(scenario, registry))
        unread = set(promises.listed()) - stated.keys()
        to_check = {key: value for key, value in self.settings.limits.items() if key.partition(".")[0] not in unread}
        if wrong := list(limits.complaints(to_check, stated)):
            raise UsageError("\n".join(wrong))

    def world(self, scenario: Any, registry: Any) -> World:
        """A new world for a scenario of behave's, with behave's registry of steps; end it with `close_world`."""
        tags = scenario.effective_tags
        seeded = random.Random(f"{self.run.seed}/{scenario.name}")
        stated = sorted(limits.of_scenario(scenario, registry), key=lambda one: one.value)
        cluster = self._cluster_for(tags)
        world = World(
            run=self.run,
            cluster=cluster,
            evidence=Evidence(self.redactor),
            ids=_ids(tags),
            limits=self.settings.limits,
            stated={one.measure: one.value for one in stated},
            random=seeded,
            namespace=f"{self.run.namespace}-{new_id()}",
            parts=parts_of(tags),
            note_namespace=self._notes.add,
            cache_repository=self.settings.accept_cache_repository,
            pool=self.settings.accept_pool,
            application=self.cluster if cluster is self._local else None,
        )
        self._notes.add(world.namespace, world.parts)
        self._scenario_begun = time.monotonic()
        return world

    def _cluster_for(self, tags: Iterable[str]) -> Cluster:
        needed = frozenset(tags)
        if needed & TLS:
            return encrypted_cluster(self.cluster)
        return self._local if "citus" not in needed and needed & _MEMBERS else self.cluster

    def excuse(self, world: World, raised: BaseException | None) -> Inconclusive | None:
        """What counts in place of what ended a scenario just now, where it exceeded a limit on a saturated machine.

        The machine must have been saturated while the limit ran; if that time is unknown, since the last fault, and
        without a fault since the scenario began. Raises nothing: the cluster has yet to be healed. What cannot be found
        out excuses nothing.
        """
        experiment = world.experiment_or_none
        faults = experiment.faults if experiment is not None else ()
        since = faults[-1].begun if faults else self._scenario_begun
        try:
            found = excuse(raised, self._saturated, since, time.monotonic())
            if found is not None:
                world.evidence.attach("limit exceeded on a busy machine", str(found))
        except Exception as error:
            with suppress(Exception):  # it may be the report that cannot be written
                why = f"it is not known whether others saturated the machine: {describe(error)}"
                world.evidence.attach("limit exceeded", why)
            return None
        return found

    def see_whether_it_comes(self, raised: BaseException | None) -> None:
        """Beside other clusters, look a while longer for what ended a scenario by not being reached in time.

        If it comes now, it was late, which the other clusters may explain. If it does not, they explain nothing.
        """
        if self._work is not None and not self.run.alone and isinstance(raised, NotInTime):
            look_again(raised, min(raised.limit, RECOVERY))

    def close_world(self, world: World, raised: BaseException | None, title: str, errors: list[BaseException]) -> None:
        """Heal and close what the scenario left open, and remove what it stored, whatever happened in it.

        `raised` is the exception that ended the scenario. What goes wrong here is added to `errors`, in the order in
        which it does; Ctrl-C as well, which leaves nothing out, and is raised again at the end.
        """

        def attempt(do: Callable[[], object]) -> None:
            try:
                do()
            except Exception as error:
                errors.append(error)  # at once, so that Ctrl-C does not lose it
                errors[-1] = self.excuse(world, error) or error
                if any(isinstance(one, KeyboardInterrupt) for one in chain(error)):
                    raise KeyboardInterrupt from error  # what came of it must not hide it

        experiment = world.experiment_or_none
        try:
            with ExitStack() as last:  # so that Ctrl-C does not leave anything out either
                last.callback(self._see_whether_fit, world, raised, title, errors)
                last.callback(attempt, partial(_commands_sent, world))
                if "schema" not in world.cluster.topology.lacks:
                    last.callback(attempt, partial(self._remove_rows, world))
                last.callback(attempt, partial(_close_all, world.sessions))
                if experiment is not None:
                    last.callback(attempt, partial(measure_time_spent, world, experiment))
                    last.callback(attempt, partial(_picture, world, experiment))
                    last.callback(attempt, experiment.conclude)
                last.callback(attempt, world.cleanup.close)
        except KeyboardInterrupt as stopped:
            errors.append(stopped)
            raise

    def _see_whether_fit(
        self, world: World, raised: BaseException | None, title: str, errors: list[BaseException]
    ) -> None:
        """Note whether the cluster is fit for further faults after a scenario; a full disk is added to `errors`."""
        kept_in, experiment = self.topology.sandbox, world.experiment_or_none
        if (raised or errors) and kept_in is not None and (full := run_out(kept_in)):
            errors.append(NoRoom(full))
            self.unfit = full
        elif experiment is not None and experiment.recovered_in is None:
            self.unfit = f"the cluster did not recover from: {title}"
        elif isinstance(raised, UnhealthyCluster):
            self.unfit = f"the cluster was unhealthy before: {title}"

    def _remove_rows(self, world: World) -> None:
        """Remove what a scenario stored. What cannot be removed now is left for the end of the run, which reports it.

        If part of the cluster is down, the scenarios about that report it, not the clean-up of every scenario.
        """
        with suppress(sql.Error, ConnectFailed, NotAvailable):
            schema.remove(world.cluster.write, world.profile, world.namespaces, world.parts)

    def close(self) -> None:
        """Remove what is left of the run's data. Raises AcceptError if rows may be left: then the notes stay."""
        given_up = bool(self.unfit) and self.run.replaceable
        if given_up:
            self.run.hand_over(self._handed_over)
        else:
            self.run.note_unfit(self.unfit)
        with self._cleanup as last:
            last.callback(self.cluster.forget_cached, self.run.namespace)
            if "schema" not in self.topology.lacks and not given_up:
                for cluster in {self.cluster, self._local}:
                    last.callback(self._remove_all_rows, cluster)
        if not given_up:
            self._notes.removed()

    def _remove_all_rows(self, cluster: Cluster) -> None:
        """Remove the rows of all scenarios: some may have been stored late, by a statement that was thought to fail."""
        try:
            replace(self._notes.noted, profile=cluster.profile).remove(cluster.write)
        except (sql.Error, ConnectFailed, NotAvailable) as error:
            raise AcceptError(
                f"rows with a namespace like '{self.run.namespace}%' may be left in the database, and the next run "
                f"tries again to remove them: {describe(error)}"
            ) from error


def note_not_opened(said: Mapping[str, Any], selected: Iterable[Any], error: Exception) -> None:
    """Note in its journal why the run that `-D accept_run=` names could not be opened, and what will not run.

    `selected` are behave's scenarios. Plain behave writes no report, and nothing is noted. Raises whatever prevents it.
    """
    settings = Settings.load(said)
    if settings.accept_run is None:
        return
    run = Run.load(settings.accept_run)
    redactor = Redactor(Topology.load(run.topology).secrets)
    note_not_begun(run.journal, selected, error, redactor, run.required, run.fail_on_flaky)


def _still_unfit(cluster: Cluster, why: str) -> str:
    """Why a cluster that was unfit after earlier scenarios of the run still is; empty if it has recovered."""
    kept_in = cluster.topology.sandbox
    if kept_in is not None and (full := run_out(kept_in)):
        return full
    try:
        await_all(cluster, cluster.topology.timing.recovery)
    except (NotInTime, AcceptError):
        return why
    return ""


def _ids(tags: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(tag.removeprefix("id.") for tag in tags if tag.startswith("id.")))


def _part(model: Any, lines: Collection[int]) -> Any:
    """A copy of behave's feature with only the scenarios that begin in these lines; None if there are none.

    The scenarios are behave's own, and belong to the whole feature: they inherit its tags.
    """
    if not hasattr(model, "run_items") and not hasattr(model, "examples"):
        return model if model.line in lines else None
    outline = hasattr(model, "examples")
    found = [part for one in (model.scenarios if outline else model.run_items) if (part := _part(one, lines))]
    if not found:
        return None
    part = copy.copy(model)
    if outline:
        part._scenarios = found
    else:
        part.run_items, part.scenarios = found, [one for one in found if not hasattr(one, "run_items")]
    return part


def _picture(world: World, experiment: Experiment) -> None:
    """Attach what happened, and keep what the faults cost, however the experiment ended."""
    faults, samples = experiment.injected_faults, experiment.watch.samples
    begun, cluster = at_epoch(experiment.begun), world.cluster
    try:
        events = events_since(cluster, begun, time.time())
    except Exception as error:  # a missing picture is no reason to call the scenario an error
        world.evidence.attach("notable lines of logs", f"could not be read: {describe(error)}")
        events = []
    groups = [one.members for one in cluster.groups]
    readers = world.readers_or_none
    reads = readers.history if readers is not None else None
    attach(world.evidence, ", ".join(world.ids), samples, world.recorded, faults, events, groups, reads)
    world.evidence.incident = incident_of(
        samples,
        world.recorded,
        faults,
        world.evidence.measures,
        groups=groups or [cluster.members],
        redundant_at=experiment.redundant_at,
        planned=experiment.planned,
    )


def _commands_sent(world: World) -> None:
    """Attach every command that changed something on a user's hosts during the scenario, with its time."""
    site = world.cluster.site if world.cluster.topology.hosts else None
    if isinstance(site, RemoteSite) and (sent := site.take_sent()):
        world.evidence.attach("commands sent to the hosts", "\n".join(map(str, sent)))


def _close_all(sessions: list[sql.Session]) -> None:
    for session in sessions:
        session.close()


def newest_cluster() -> Topology:
    """The newest cluster of `accept up`."""
    there = [path for path in CLUSTERS.glob("*/topology.json") if not path.with_name("target.toml").exists()]
    found = sorted(there, key=lambda path: path.stat().st_mtime)  # those with a target file are reached from outside
    if not found:
        raise UsageError(
            "there is no cluster to test: `./accept up` starts one for plain behave, `./accept run` boots its own; "
            "or set RUVECTOR_HOST to test yours"
        )
    return Topology.load(found[-1])


def enter_sandbox(topology: Topology, run: Run) -> NoReturn:
    """Replace this process by the same behave command in the sandbox of an embedded cluster, with the run's file."""
    if topology.sandbox is None:
        raise UsageError("the suite did not boot that cluster: it has no hosts to enter")
    behave = [sys.executable, "-m", "behave", "-D", f"accept_run={run.file}", *sys.argv[1:]]
    argv = reentry_argv(topology.sandbox, behave)
    os.execvp(argv[0], argv)
