"""The tables that scenarios work on: the application's, or ours where it has none; sharded ones, and local ones."""

from contextlib import ExitStack
from dataclasses import replace

from support import sql
from support.application import schema, sharding
from support.application.vectors import dialect_of
from support.cluster.cluster import Cluster
from support.cluster.topology import Topology
from support.errors import AcceptError, ConnectFailed
from support.timeouts import RECOVERY
from support.waiting import describe, eventually


def provided(topology: Topology, run: str, cleanup: ExitStack) -> Topology:
    """A user's cluster, with the application's tables. Where they are missing they are made, and dropped at the end.

    Where they cannot be made either, "schema" is among what the cluster lacks.
    """
    where = Cluster(topology).write
    absent = schema.missing(where)
    if not absent:
        return topology
    why = f"the tables {', '.join(absent)} are not there, and cannot be created"
    if "vector" in topology.lacks:
        return replace(topology, lacks={**topology.lacks, "schema": f"{why}: {topology.lacks['vector']}"})
    ours = Cluster(topology).with_tables_of(f"accept_{run}")
    try:
        _create(ours, f"accept_{run}", cleanup)
        if "citus" not in topology.lacks:
            sharding.distribute(ours.write)
    except sql.Error as error:
        return replace(topology, lacks={**topology.lacks, "schema": f"{why}: {describe(error)}"})
    return ours.topology


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
    except sql.Error as error:
        why = f"tables that are not sharded cannot be created: {describe(error)}"
        return Cluster(replace(cluster.topology, lacks={**cluster.topology.lacks, "schema": why}))
    return ours


def sweep(where: sql.Endpoint, namespace: str) -> None:
    """Remove what was stored under a namespace and those below it; while nobody takes writes, wait until somebody does.

    Raises AcceptError when nobody did, saying what is left.
    """
    try:
        eventually(
            lambda: schema.sweep(where, namespace),
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
