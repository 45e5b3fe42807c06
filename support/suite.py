"""The run as environment.py sees it: opened before the first scenario, a world for each scenario, closed at the end."""

import os
import random
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NoReturn

from support import sql
from support.application import schema
from support.application.vectors import dialect_of
from support.cluster import external
from support.cluster.capabilities import lacking
from support.cluster.cluster import Cluster
from support.cluster.facts import secrets_of
from support.cluster.topology import Topology
from support.errors import UsageError
from support.hosts import reentry_argv
from support.ordeal import Ordeal
from support.reporting import timeline
from support.reporting.evidence import Evidence
from support.reporting.redaction import Redactor
from support.run import CLUSTERS, Run, begin_run, new_id
from support.settings import Settings
from support.waiting import describe
from support.world import World


class Suite:
    """One run of the scenarios against one cluster."""

    def __init__(self, run: Run, topology: Topology, settings: Settings) -> None:
        self.run, self.settings = run, settings
        self._cleanup = ExitStack()
        self.topology = topology if topology.embedded else self._with_schema(topology)
        self.cluster = Cluster(self.topology)
        self.redactor = Redactor(secrets_of(self.cluster))

    @classmethod
    def open(cls, said: Mapping[str, Any]) -> "Suite":
        """Open the run that `-D accept_run=` names.

        Without it (plain behave) the target is the user's cluster where the settings name one, else the newest that
        `accept up` started: then this process is replaced by one on that cluster's stand. Raises UsageError if there
        is neither.
        """
        settings = Settings.load(said)
        if settings.accept_run is not None:
            run = Run.load(settings.accept_run)
            return cls(run, Topology.load(run.topology), settings)
        run = begin_run()
        topology = external.describe(settings) if settings.external else newest_cluster()
        topology.save(run.topology)
        if topology.embedded:
            enter_stand(topology, run)
        return cls(run, topology, settings)

    def missing_for(self, tags: Iterable[str]) -> str:
        """Why scenarios with these tags cannot run against this target; empty when they can."""
        missing = lacking(self.topology, frozenset(tags))
        return "; ".join(f"no {one.name}: {one.detail}" for one in missing)

    def world(self, scenario: str, ids: tuple[str, ...]) -> World:
        """A fresh world for a scenario; `close_world` ends it."""
        seeded = random.Random(f"{self.run.seed}/{scenario}")
        return World(
            run=self.run,
            cluster=self.cluster,
            evidence=Evidence(self.redactor),
            ids=ids,
            limits=self.settings.limits,
            random=seeded,
            namespace=f"{self.run.namespace}-{new_id()}",
            cache_repository=self.settings.accept_cache_repository,
        )

    def close_world(self, world: World) -> None:
        """Undo what the scenario left open, and remove what it stored, whatever happened in it."""
        with ExitStack() as last:
            if "schema" not in self.topology.lacks:
                last.callback(schema.remove, self.cluster.write, world.namespaces)
            last.callback(_close_all, world.sessions)
            if world.ordeal is not None:
                last.callback(_picture, world, world.ordeal)
                last.callback(world.ordeal.conclude)
            last.push(world.cleanup.pop_all())

    def close(self) -> None:
        """Remove what is left of the run's data."""
        with self._cleanup as last:
            last.callback(self.cluster.forget_cached, self.run.namespace)
            if "schema" not in self.topology.lacks:
                last.callback(schema.sweep, self.cluster.write, self.run.namespace)

    def _with_schema(self, topology: Topology) -> Topology:
        """A user's cluster without the application's tables gets them, in a schema that is dropped at the end."""
        where = Cluster(topology).write
        absent = schema.missing(where)
        if not absent:
            return topology
        why = f"the tables {', '.join(absent)} are not there, and cannot be created"
        if "vector" in topology.lacks:
            return replace(topology, lacks={**topology.lacks, "schema": f"{why}: {topology.lacks['vector']}"})
        name = f"accept_{self.run.id}"
        ours = replace(topology, options={**topology.options, "options": f"-c search_path={name},public"})
        try:
            sql.execute(where, f"CREATE SCHEMA {name}")
            self._cleanup.callback(sql.execute, where, f"DROP SCHEMA {name} CASCADE")
            schema.create(Cluster(ours).write, dialect_of(where))
        except sql.Error as error:
            return replace(topology, lacks={**topology.lacks, "schema": f"{why}: {describe(error)}"})
        return ours


def _picture(world: World, ordeal: Ordeal) -> None:
    """Show what happened, however it ended."""
    injuries = ordeal.nemesis.injuries
    timeline.attach(world.evidence, ", ".join(world.ids), ordeal.watch.samples, world.history, injuries)


def _close_all(sessions: list[sql.Session]) -> None:
    for session in sessions:
        session.close()


def newest_cluster() -> Topology:
    """The cluster that `accept up` started last."""
    found = sorted(CLUSTERS.glob("*/topology.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UsageError(
            "there is no cluster to test: `./accept up` starts one that plain behave finds; `./accept run` boots its "
            "own; RUVECTOR_HOST points at yours"
        )
    return Topology.load(found[-1])


def enter_stand(topology: Topology, run: Run) -> NoReturn:
    """Replace this behave by the same one on the stand of an embedded cluster, and tell it the run."""
    if topology.stand is None:
        raise UsageError("that cluster is not one of ours, it has no hosts to enter")
    behave = [sys.executable, "-m", "behave", "-D", f"accept_run={run.file}", *sys.argv[1:]]
    argv = reentry_argv(topology.stand, behave)
    os.execvp(argv[0], argv)


def ids_of(tags: Iterable[str]) -> tuple[str, ...]:
    """The catalogue ids among a scenario's tags: `@id.FO-01` is FO-01."""
    return tuple(sorted(tag.removeprefix("id.") for tag in tags if tag.startswith("id.")))
