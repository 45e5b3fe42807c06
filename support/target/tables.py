"""The tables that scenarios work on: the application's, or ours where it has none; sharded ones, and local ones.

What runs that were killed have left in a user's cluster: found by their names, and removed.

A run's rows are in namespaces `accept-<id>...`, its schemas are `accept_<id>...`, and the id tells when it began. A run
of this machine leaves a folder that tells whether it lives; of one elsewhere nothing more is known than its age.
"""

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta

from support import sql
from support.errors import AcceptError, ConnectFailed, NotAvailable, UsageError
from support.example_app import schema
from support.example_app import schema as sharding
from support.example_app.catalog import look_at
from support.example_app.fitting import fit, recognised
from support.example_app.known_profiles import EXAMPLE, KNOWN, declared_profile
from support.example_app.profile import Profile, quoted
from support.example_app.vectors import dialect_of
from support.run import RUNS, Life, begun_at, life_of
from support.settings import Settings
from support.target.cluster import Cluster
from support.target.topology import Topology
from support.timeouts import RECOVERY
from support.waiting import describe, eventually

OWN = "judged on tables of the suite's own (--own-schema)"
UNKNOWN = (
    f"none of the schemas that are known ({', '.join(KNOWN)}) is there: describe the application's tables in [schema] "
    "(docs/schema.md), or choose --own-schema"
)
NEEDS_TABLES = ("schema", "json", "related", "graph", "reference", "long_values")
"""What only tables can have, by capability."""


def with_profile(topology: Topology, settings: Settings) -> Topology:
    """A user's cluster, with the profile of the application's tables that are there, and what cannot be judged on them.

    Raises UsageError for a [schema] that makes no sense.
    """
    declared = declared_profile(settings.accept_schema) if settings.accept_schema else None
    if settings.accept_own_schema:
        if declared:
            raise UsageError("--own-schema and [schema] contradict one another: use one of them")
        return _lacking(replace(topology, profile=EXAMPLE), {"application_schema": OWN})
    tables = set(declared.tables) if declared else {table for one in KNOWN.values() for table in one.tables}
    facts = look_at(Cluster(topology).write, tables)
    profile = declared or recognised(facts)
    if profile is None:
        return _lacking(topology, dict.fromkeys((*NEEDS_TABLES, "application_schema"), UNKNOWN))
    fitting = fit(profile, facts)
    return _lacking(replace(topology, profile=fitting.profile), fitting.lacks)


def _lacking(topology: Topology, lacks: Mapping[str, str]) -> Topology:
    return replace(topology, lacks={**lacks, **topology.lacks})


def of_our_own(topology: Topology, run: str, cleanup: ExitStack) -> Topology:
    """A user's cluster, with tables of the suite's own in a schema named for the run, which is dropped at the end.

    Where they cannot be made, "schema" is among what the cluster lacks.
    """
    name = f"accept_{run}"
    ours = Cluster(topology).with_tables_of(name)
    try:
        _create(ours, name, cleanup)
        if "citus" not in topology.lacks:
            sharding.distribute(ours.write)
    except (sql.Error, ConnectFailed, NotAvailable) as error:
        why = f"tables of the suite's own cannot be made: {describe(error)}"
        return _lacking(topology, dict.fromkeys(NEEDS_TABLES, why))
    fitting = fit(EXAMPLE, look_at(ours.write, EXAMPLE.tables))
    return _lacking(replace(ours.topology, profile=fitting.profile), fitting.lacks)


def local(cluster: Cluster, run: str, cleanup: ExitStack) -> Cluster:
    """The same cluster, whose logins find tables that live on the coordinator's members alone.

    What a row in a sharded table tells is how the workers are; to tell how these members are it has to be theirs. An
    embedded cluster has such tables; elsewhere they are made, and dropped at the end. Where they cannot be made,
    "schema" is among what that cluster lacks.
    """
    if "citus" in cluster.topology.lacks or "schema" in cluster.topology.lacks:
        return cluster
    if cluster.topology.embedded:
        return cluster.with_tables_of(schema.LOCAL)
    ours = cluster.with_tables_of(f"accept_{run}_local")
    try:
        _create(ours, f"accept_{run}_local", cleanup)
    except (sql.Error, ConnectFailed, NotAvailable) as error:
        why = f"tables that are not sharded cannot be created: {describe(error)}"
        return Cluster(replace(cluster.topology, lacks={**cluster.topology.lacks, "schema": why}))
    return ours


def sweep(where: sql.Endpoint, profile: Profile, namespace: str) -> None:
    """Remove what was stored under a namespace and those below it; while nobody takes writes, wait until somebody does.

    Raises AcceptError when nobody did, saying what is left.
    """
    try:
        eventually(
            lambda: schema.sweep(where, profile, namespace),
            within=RECOVERY,
            subject="the write endpoint takes writes",
            retry_on=(sql.Error, ConnectFailed),
        )
    except AssertionError as error:
        raise AcceptError(f"rows with a namespace like '{namespace}%' are left in the database: {error}") from error


def _create(ours: Cluster, name: str, cleanup: ExitStack) -> None:
    sql.execute(ours.write, f"CREATE SCHEMA {name}")
    cleanup.callback(sql.execute, ours.write, f"DROP SCHEMA {name} CASCADE")
    schema.create(ours.write, dialect_of(ours.write))


TOO_OLD = 24 * 3600.0
"""Seconds after which a run elsewhere is taken to be over."""
_NAMESPACES = (
    "SELECT DISTINCT substring({mark} FROM '^accept-[0-9a-f]{{12}}') FROM {table} WHERE {mark} LIKE 'accept-%'"
)
_SCHEMAS = (
    "SELECT nspname FROM pg_namespace WHERE nspname ~ '^accept_[0-9a-f]{12}(_|$)' AND pg_has_role(nspowner, 'USAGE')"
)
_ID = re.compile(r"^accept[-_]([0-9a-f]{12})")


@dataclass(frozen=True)
class Leftovers:
    """What a look for leftovers came to; each line tells of one run."""

    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Not removed: the run may still be going on elsewhere, or removing failed."""

    @property
    def facts(self) -> dict[str, str]:
        """For the report's environment; nothing where nothing was found."""
        found = {"Removed from earlier runs": self.removed, "Left by earlier runs": self.kept}
        return {name: "; ".join(lines) for name, lines in found.items() if lines}


def remove(cluster: Cluster, own: str) -> Leftovers:
    """Remove what dead runs have left; `own` is the id of this run. Nothing that goes wrong with it is raised."""
    removed, kept = [], []
    try:
        found = _found(cluster)
    except (sql.Error, ConnectFailed) as error:
        return Leftovers(kept=(f"what earlier runs left was not looked for: {describe(error)}",))
    for run in sorted(found - {own}):
        began, life = begun_at(run), life_of(run)
        ago = timedelta(seconds=round(time.time() - began))
        if life is Life.GOING_ON:
            continue
        if life is Life.UNKNOWN and ago.total_seconds() < TOO_OLD:
            kept.append(f"run {run}, which began {ago} ago on another machine, has rows there")
            continue
        try:
            rows = _remove(cluster, run)
            shutil.rmtree(RUNS / run, ignore_errors=True)
            removed.append(f"what run {run} left {ago} ago was removed ({rows} rows)")
        except (sql.Error, ConnectFailed) as error:
            kept.append(f"what run {run} left {ago} ago cannot be removed: {describe(error)}")
    return Leftovers(tuple(removed), tuple(kept))


def _found(cluster: Cluster) -> set[str]:
    with sql.session(cluster.write) as session:
        return {match[1] for name in _names(cluster, session) if name and (match := _ID.match(name))}


def _names(cluster: Cluster, session: sql.Session) -> Iterator[str]:
    for statement in _looks(cluster):
        yield from (name for (name,) in sql.rows(session, statement))


def _looks(cluster: Cluster) -> Iterator[str]:
    yield _SCHEMAS
    if "schema" not in cluster.topology.lacks:
        for _, part in cluster.profile.parts():
            mark = quoted(cluster.profile.mark(part))
            yield _NAMESPACES.format(mark=mark, table=quoted(part.table))


def _remove(cluster: Cluster, run: str) -> int:
    rows = 0
    if "schema" not in cluster.topology.lacks:
        rows = schema.sweep(cluster.write, cluster.profile, f"accept-{run}")
    with sql.session(cluster.write) as session:
        for (name,) in sql.rows(session, _SCHEMAS):
            if name.startswith(f"accept_{run}"):
                sql.execute(session, f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE")
    return rows
