"""The tables that scenarios work on: the application's, or ours where it has none; sharded ones, and local ones."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from support import sql
from support.application import schema, sharding
from support.application.catalog import look_at
from support.application.fitting import fit, recognised
from support.application.known_profiles import EXAMPLE, KNOWN, declared_profile
from support.application.profile import Profile
from support.application.vectors import dialect_of
from support.cluster.cluster import Cluster
from support.cluster.topology import Topology
from support.errors import AcceptError, ConnectFailed, NotAvailable, UsageError
from support.settings import Settings
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
