"""What is said of an index whose concurrent build failed in a shard, or has not ended; on a real Citus."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from steps.sharding import sharding_setup_steps
from support import sql
from support.engine.world import Context, World
from support.example_app.profile import Entries, Expected, Profile
from support.reporting.evidence import Evidence
from support.run import Run
from support.sharding import shard_indexes
from support.sharding.shards import placements
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet, eventually

_TABLES = """
    CREATE TABLE events (tenant text, key text, value text, PRIMARY KEY (tenant, key));
    SELECT create_distributed_table('events', 'tenant', shard_count => 4);
    INSERT INTO events VALUES ('a', '1', 'same'), ('a', '2', 'same')
"""
PROFILE = Profile("built", Entries("events", namespace="tenant"), tables={"events": Expected()})
UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY by_value ON events (tenant, value)"
PLAIN = "CREATE INDEX CONCURRENTLY by_value ON events (tenant, value)"


@pytest.fixture
def cluster(citus: sql.Endpoint) -> Iterator[Cluster]:
    """A single node with a table of four shards, two of whose rows share their value; it may log in to itself."""
    where = replace(citus, database="index_builds")
    sql.execute(citus, f"CREATE DATABASE {where.database}")
    sql.execute(where, "CREATE EXTENSION citus")
    said = [citus.user, f"password={citus.password}"]
    sql.execute(where, "INSERT INTO pg_dist_authinfo VALUES (0, %s, %s)", said)
    for statement in _TABLES.split(";\n"):
        sql.execute(where, statement)
    login, at = Login(where.user, where.password), Address(where.host, where.port)
    yield Cluster(Topology(where.database, login, at, profile=PROFILE, timing=Timing(multiplier=0.01)))
    sql.execute(citus, f"DROP DATABASE {where.database} WITH (FORCE)")


@pytest.fixture
def context(cluster: Cluster, tmp_path: Path) -> Context:
    return cast(Context, SimpleNamespace(world=World(Run("run", tmp_path, tmp_path, 1), cluster, Evidence())))


def test_one_that_failed_in_a_shard_is_told(cluster: Cluster, context: Context) -> None:
    """Citus leaves the coordinator's index invalid, too."""
    sharding_setup_steps.step_shards_have_indexes(context)
    assert sql.error_of(lambda: sql.execute(cluster.write, UNIQUE)) is not None
    with pytest.raises(AssertionError, match=r"an index of events is not valid: unique btree \(tenant, value\)"):
        sharding_setup_steps.step_shards_have_indexes(context)
    sql.execute(cluster.write, "DROP INDEX IF EXISTS by_value")
    sharding_setup_steps.step_shards_have_indexes(context)


def test_one_that_replaces_a_valid_one_and_failed_is_no_loss(cluster: Cluster, context: Context) -> None:
    """As REINDEX leaves it."""
    sql.execute(cluster.write, PLAIN)
    sql.execute(cluster.write, PLAIN.replace("by_value", "by_value_ccnew"))
    sql.execute(
        cluster.write,
        "SET allow_system_table_mods = on; "
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_value_ccnew'::regclass",
    )
    sharding_setup_steps.step_shards_have_indexes(context)


def test_one_that_is_being_built_is_no_failure(cluster: Cluster, context: Context) -> None:
    with under_way(cluster):
        sharding_setup_steps.step_shards_have_indexes(context)
    sharding_setup_steps.step_shards_have_indexes(context)


def test_a_login_that_is_not_shown_what_is_built_accuses_nobody(cluster: Cluster) -> None:
    known = shard_indexes.placed(cluster, PROFILE.tables)
    assert shard_indexes.in_progress(cluster, known) == frozenset()
    sql.execute(cluster.write, "CREATE ROLE nobody_special LOGIN PASSWORD 'plain'")
    plain = Login("nobody_special", "plain")
    try:
        with under_way(cluster):
            modest = Cluster(replace(cluster.topology, application=plain))
            assert shard_indexes.in_progress(modest, known) == {"events"}
            assert shard_indexes.in_progress(modest, []) == frozenset()
    finally:
        sql.execute(cluster.write, "DROP ROLE nobody_special")


@contextmanager
def under_way(cluster: Cluster) -> Iterator[None]:
    """While an index is being built, which waits for a transaction that writes to a shard."""
    shard = placements(cluster.write, ["events"])[-1].name
    builds = threading.Thread(target=lambda: sql.execute(cluster.write, PLAIN))
    with sql.session(cluster.write, autocommit=False) as writer:
        sql.execute(writer, "SET citus.enable_manual_changes_to_shards = on")
        sql.execute(writer, "SET citus.override_table_visibility = off")
        sql.execute(writer, f"LOCK TABLE {shard} IN ROW EXCLUSIVE MODE")
        builds.start()
        try:
            eventually(lambda: require_invalid(cluster), within=20, subject="the build has begun")
            yield
        finally:
            writer.rollback()
            builds.join()


def require_invalid(cluster: Cluster) -> None:
    """Once the coordinator has its own index, it is the turn of the shards."""
    valid = "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname = 'by_value'"
    building = "SELECT count(*) FROM pg_stat_progress_create_index"
    if sql.rows(cluster.write, valid) != [(False,)] or not sql.value(cluster.write, building):
        raise NotYet("there is no index that is being built")
