"""How sharded and partitioned tables are searched, counted and copied; on a real Citus, with pgvector."""

import random
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from behave.parser import parse_feature
from behave.step_registry import registry

from steps.sharding import distributed_query_steps, sharding_setup_steps
from support import sql
from support.cluster.checks import went_by_index
from support.cluster.crowded_table import make_crowded
from support.cluster.searching import roomy
from support.cluster.workloads import search_repeatedly
from support.engine.world import Context, World
from support.errors import NotAvailable
from support.example_app import entries, samples, schema, search
from support.example_app.entries import Count, EntryStore, all_see_all, counts, vector_indexes
from support.example_app.profile import Entries, Expected, Profile, Related, quoted, relation
from support.reporting.evidence import Evidence
from support.run import Run, begin_run
from support.settings import Settings
from support.sharding import shards
from support.sharding.checks import each_search_by_index
from support.sharding.handover import QueryHandover
from support.sharding.moves import co_located_pair
from support.sharding.placement_checks import co_located_together, of_hash
from support.sharding.plans import of_wholes, plan_of
from support.sharding.queries import search_every_shard
from support.suite import Suite
from support.target.cluster import Cluster
from support.target.tables import local_tables, on_worker, own_tables
from support.target.timing import Timing
from support.target.topology import Address, Login, MemberAddress, Topology

LONG_INDEX = "the_index_of_embeddings_whose_name_leaves_no_room_for_a_number"
_TABLES = f"""
    CREATE TABLE plain (namespace text, key text, value text, embedding vector(8), PRIMARY KEY (namespace, key));
    CREATE INDEX "{LONG_INDEX}" ON plain USING hnsw (embedding vector_cosine_ops);
    CREATE TABLE parted (namespace text, key text, value text, embedding vector(8), UNIQUE (namespace, key))
        PARTITION BY RANGE (key);
    CREATE TABLE parted_one PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ('entry-00100');
    CREATE TABLE parted_two PARTITION OF parted FOR VALUES FROM ('entry-00100') TO (MAXVALUE);
    CREATE INDEX parted_embedding ON parted USING hnsw (embedding vector_cosine_ops)
"""
_LOGIN = "INSERT INTO pg_dist_authinfo VALUES (0, %s, %s)"
_DISTRIBUTED = "SELECT create_distributed_table('plain', 'namespace', shard_count => 2)"
_PARTED_TOO = "SELECT create_distributed_table('parted', 'namespace', shard_count => 2)"
PLAIN, PARTED = (Profile(table, Entries(table, embedding="embedding", dimensions=8)) for table in ("plain", "parted"))
SHARDED, WHOLE = "sharded", "whole"
FILLED = 200


@pytest.fixture(scope="module")
def databases(citus: sql.Endpoint) -> Iterator[dict[str, sql.Endpoint]]:
    """Two databases with the same tables, sharded in one of them; the nodes may log in to one another."""
    if not sql.rows(citus, "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"):
        pytest.skip("the PostgreSQL that has Citus has no pgvector")
    found = {name: replace(citus, database=f"indexes_{name}") for name in (SHARDED, WHOLE)}
    for name, where in found.items():
        sql.execute(citus, f"CREATE DATABASE {where.database}")
        sql.execute(where, "CREATE EXTENSION vector")
        for statement in _TABLES.split(";\n"):
            sql.execute(where, statement)
        if name == SHARDED:
            sql.execute(where, "CREATE EXTENSION citus")
            sql.execute(
                where, "INSERT INTO pg_dist_authinfo VALUES (0, %s, %s)", [citus.user, f"password={citus.password}"]
            )
            sql.execute(where, _DISTRIBUTED)
            sql.execute(where, _PARTED_TOO)
        for profile in (PLAIN, PARTED):
            EntryStore(where, profile).add_many(samples.entries(random.Random(1), "n", FILLED, profile))
            sql.execute(where, f"ANALYZE {profile.entries.table}")
    yield found
    for where in found.values():
        sql.execute(citus, f"DROP DATABASE {where.database} WITH (FORCE)")


@pytest.mark.parametrize("profile", [PLAIN, PARTED])
@pytest.mark.parametrize("kept", [SHARDED, WHOLE])
def test_searches_go_by_the_index_of_a_shard_or_a_partition(
    databases: dict[str, sql.Endpoint], kept: str, profile: Profile
) -> None:
    sought = samples.vectors(random.Random(2), 3, 8)
    found = search_repeatedly(databases[kept], profile, "n", sought, 5)
    finding = went_by_index(found.indexes_used, found.cosine_indexes)
    assert finding.holds, finding.words
    assert went_by_index(found.indexes_used, {"another_index_of_embeddings_whose_name_leaves_no_room"}).holds is False
    exact = search_repeatedly(databases[kept], profile, "n", sought, 5, exact=True)
    assert went_by_index(exact.indexes_used, exact.cosine_indexes).holds is False


@pytest.mark.parametrize(
    "kept", ["create_distributed_table('kept', NULL)", "create_reference_table('kept')"], ids=["one shard", "copies"]
)
def test_searches_on_a_worker_have_their_settings_however_many_shards_there_are(
    databases: dict[str, sql.Endpoint], kept: str
) -> None:
    profile = replace(PLAIN, entries=replace(PLAIN.entries, table="kept"))
    where = databases[SHARDED]
    remote = replace(where, options={"options": "-c citus.enable_local_execution=off"})  # as if it were another node's
    sql.execute(where, "CREATE TABLE kept (LIKE plain INCLUDING ALL)")
    try:
        sql.rows(where, f"SELECT {kept}")
        EntryStore(where, profile).add_many(samples.entries(random.Random(1), "n", FILLED, profile))
        found = search_repeatedly(remote, profile, "n", samples.vectors(random.Random(2), 3, 8), 5)
    finally:
        sql.execute(where, "DROP TABLE kept")
    finding = went_by_index(found.indexes_used, found.cosine_indexes)
    assert finding.holds, finding.words


@pytest.mark.parametrize("profile", [PLAIN, PARTED])
def test_every_shard_is_searched_by_its_index(databases: dict[str, sql.Endpoint], profile: Profile) -> None:
    found = search_every_shard(databases[SHARDED], profile, "n", samples.vectors(random.Random(2), 3, 8), 5)
    finding = each_search_by_index(found.used, found.shards, found.cosine_indexes)
    assert finding.holds, finding.words
    assert len(found.shards) == (4 if profile is PARTED else 2)


@pytest.mark.parametrize("profile", [PLAIN, PARTED])
def test_every_shard_is_counted_in_every_way(databases: dict[str, sql.Endpoint], profile: Profile) -> None:
    """The planner of each node is told which way to go, although Citus by default keeps settings to itself."""
    assert sql.value(databases[SHARDED], "SHOW citus.propagate_set_commands") == "none"
    found = counts(databases[SHARDED], profile.entries.table)
    assert {one.rows for one in found.values()} == {FILLED}
    assert len(found["through an index"].indexes) == (4 if profile is PARTED else 2)
    assert found["through the table itself"].indexes == frozenset()
    assert "Seq Scan" not in found["through an index"].plan
    assert all_see_all(found, vector_indexes(databases[SHARDED], profile.entries.table)) == []


@pytest.mark.parametrize("profile", [PLAIN, PARTED])
@pytest.mark.parametrize("kept", [SHARDED, WHOLE])
def test_a_table_is_as_large_as_its_shards_and_partitions(
    databases: dict[str, sql.Endpoint], kept: str, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "LARGEST", 3)  # pages; each shard, and each partition, has some
    assert {one.rows for one in counts(databases[kept], profile.entries.table).values()} == {None}


@pytest.mark.parametrize("profile", [PLAIN, PARTED])
@pytest.mark.parametrize("kept", [SHARDED, WHOLE])
def test_a_count_by_the_vector_index_of_a_shard_or_a_partition_is_told(
    databases: dict[str, sql.Endpoint], kept: str, profile: Profile
) -> None:
    searched = search_repeatedly(databases[kept], profile, "n", samples.vectors(random.Random(2), 1, 8), 5)
    count = {"as the planner likes": Count(FILLED, searched.plan, searched.indexes_used[0])}
    by_vector = all_see_all(count, vector_indexes(databases[kept], profile.entries.table))
    assert len(by_vector) == (2 if profile is PARTED else 1)


def cluster_of(where: sql.Endpoint, profile: Profile, lacks: Mapping[str, str] = {}) -> Cluster:
    at = Address(where.host, where.port)
    members = (MemberAddress("one", at),)
    login = Login(where.user, where.password)
    return Cluster(Topology(where.database, login, at, members=members, profile=profile, lacks=lacks))


def world_of(cluster: Cluster, folder: Path, application: Cluster | None = None) -> World:
    return World(Run("run", folder, folder, 1), cluster, Evidence(), namespace="n", application=application)


def test_a_join_with_a_partitioned_table_reads_its_whole_shards(
    databases: dict[str, sql.Endpoint], tmp_path: Path
) -> None:
    """The plan names the shards of the partitions."""
    where = databases[SHARDED]
    world = world_of(cluster_of(where, replace(PARTED, related=Related("plain"))), tmp_path)
    with sql.session(where) as session:
        plan = plan_of(session, "SELECT count(*) FROM parted JOIN plain USING (namespace)")
    assert any("parted_one_" in shard for task in plan.tasks for shard in task.tables)
    world.handover(QueryHandover).plan = plan
    context = cast(Context, SimpleNamespace(world=world))
    with pytest.raises(NotAvailable, match="no worker group"):  # after all that is judged
        distributed_query_steps.step_joined_in_place(context)
    mixed = plan.tasks[0].tables | plan.tasks[1].tables
    world.handover(QueryHandover).plan = replace(plan, tasks=(replace(plan.tasks[0], tables=mixed), plan.tasks[1]))
    with pytest.raises(AssertionError, match="one task reads"):
        distributed_query_steps.step_joined_in_place(context)


@pytest.mark.parametrize("profile", [PLAIN, PARTED])
def test_a_query_for_one_namespace_reads_the_shard_that_it_hashes_to(
    databases: dict[str, sql.Endpoint], profile: Profile
) -> None:
    where, table = databases[SHARDED], profile.entries.table
    with sql.session(where) as session:
        (home,) = (
            one.name for one in of_hash(shards.placements(session, [table]), table, shards.hashes(session, ["n"])["n"])
        )
        plan = plan_of(session, f"SELECT count(*) FROM {table} WHERE namespace = 'n'")
        (task,) = of_wholes(plan, shards.whole_shards(session, [table])).tasks
    assert task.tables == {home}


def test_the_size_of_each_shard_is_known(databases: dict[str, sql.Endpoint]) -> None:
    """With its indexes; of one without an active placement it is not."""
    where = databases[SHARDED]
    known = [one.shard for one in shards.placements(where, ["plain"])]
    found = shards.sizes(where, ["plain"])
    assert sorted(found) == sorted(known)
    assert all(size is not None and size > 0 for size in found.values())
    change = "UPDATE pg_dist_placement SET shardstate = %s WHERE shardid = %s"
    sql.execute(where, change, [3, known[0]])
    try:
        assert shards.sizes(where, ["plain"]) == {**found, known[0]: None}
    finally:
        sql.execute(where, change, [1, known[0]])


IS_SHARDED = "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = %s::regclass"


def test_the_crowded_table_is_an_unsharded_copy_of_the_applications(
    databases: dict[str, sql.Endpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached: list[str] = []
    monkeypatch.setattr(Evidence, "attach", lambda self, name, text: attached.append(name))
    where = databases[SHARDED]
    cluster = cluster_of(where, PLAIN)
    with ExitStack() as cleanup:
        world = world_of(local_tables(cluster, "run", cleanup), tmp_path, application=cluster)
        with world.cleanup:
            there = make_crowded(world, own=20, others=100)
            copy = there.cluster.profile.entries.table
            assert copy.endswith(".plain")
            assert sql.value(there.cluster.of_member("one"), f"SELECT count(*) FROM {copy}") == 120
            assert sql.value(where, IS_SHARDED, [copy]) == 0
    assert "searched: an unsharded copy of plain" in attached


@pytest.mark.parametrize(
    ("lacks", "sharded"), [({}, 1), ({"sharded_entries": "the table is sharded not at all: that is the reason"}, 0)]
)
def test_the_copy_of_a_table_that_is_too_full_is_sharded_if_the_table_is(
    databases: dict[str, sql.Endpoint],
    tmp_path: Path,
    lacks: Mapping[str, str],
    sharded: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "CROWD", 100)
    world = world_of(cluster_of(databases[SHARDED], PLAIN, lacks), tmp_path)
    with world.cleanup:
        copy = roomy(world).profile.entries.table
        assert sql.value(databases[SHARDED], IS_SHARDED, [copy]) == sharded


def test_all_shards_of_a_copy_are_searched_where_the_table_is_too_full(
    databases: dict[str, sql.Endpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(cluster_of(databases[SHARDED], PLAIN), tmp_path)
    stored = samples.entries(random.Random(3), "n-own", 20, PLAIN)
    assert distributed_query_steps.searched_table(world, stored) is world.cluster
    monkeypatch.setattr(search, "CROWD", 100)
    with world.cleanup:
        there = distributed_query_steps.searched_table(world, stored)
        assert there.profile.entries.table != "plain"
        found = search_every_shard(there.write, there.profile, "n-own", samples.vectors(random.Random(2), 1, 8), 10)
        ((_, neighbours),) = found.answers
        assert len(neighbours) == 10
        assert {key for key, _ in neighbours} <= {one.key for one in stored}
        assert each_search_by_index(found.used, found.shards, found.cosine_indexes).holds


@pytest.mark.parametrize(
    ("related", "second"),
    [(None, "beside"), (Related("parted", name="key", number="value"), "parted"), (Related("local"), "beside")],
)
def test_two_tables_whose_shards_are_moved_are_co_located(
    databases: dict[str, sql.Endpoint], tmp_path: Path, related: Related | None, second: str
) -> None:
    """Whether or not the application has another table that is sharded like its entries."""
    where = databases[SHARDED]
    sql.execute(where, "CREATE TABLE IF NOT EXISTS local (namespace varchar, name text, PRIMARY KEY (name))")
    world = world_of(cluster_of(where, replace(PLAIN, related=related)), tmp_path)
    with world.cleanup:
        copies, tables = co_located_pair(world, 3)
        assert [relation(table) for table in tables] == ["plain", second]
        assert tables[0] == copies.profile.entries.table
        finding = co_located_together(shards.placements(where, tables))
        assert finding.holds, finding.words
        assert "3 sets" in finding.words
    assert {one.kind for one in shards.sharding_of(where, tables).values()} == {"missing"}


def test_no_copy_is_made_of_a_table_that_is_not_distributed(databases: dict[str, sql.Endpoint]) -> None:
    assert shards.shard_count(cluster_of(databases[SHARDED], PLAIN)) == 2
    for kind, table in (("reference", "everywhere"), ("local", "elsewhere")):
        sql.execute(databases[SHARDED], f"CREATE TABLE {table} (namespace text)")
        if kind == "reference":
            sql.rows(databases[SHARDED], "SELECT create_reference_table(%s)", [table])
        whole = replace(PLAIN, entries=Entries(table))
        with pytest.raises(AssertionError, match=f"{table} is not distributed: it is {kind}"):
            shards.shard_count(cluster_of(databases[SHARDED], whole))


def test_nothing_shards_the_copy_of_a_local_table(databases: dict[str, sql.Endpoint]) -> None:
    with ExitStack() as cleanup:
        cluster = cluster_of(databases[SHARDED], PLAIN)
        assert "sharded_entries" in local_tables(cluster, "run", cleanup).topology.lacks


@pytest.fixture
def by_schema(databases: dict[str, sql.Endpoint]) -> Iterator[sql.Endpoint]:
    """A database in which every new schema is a tenant's, whose tables are all on one node."""
    where = databases[SHARDED]
    sql.execute(where, f"ALTER DATABASE {where.database} SET citus.enable_schema_based_sharding = on")
    yield where
    sql.execute(where, f"ALTER DATABASE {where.database} RESET citus.enable_schema_based_sharding")


IN_METADATA = """
    SELECT logicalrelid::text, partmethod::text FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid
     WHERE relnamespace = %s::regnamespace AND relname IN ('plain', 'memory_entries')
"""


def test_tables_of_ours_are_no_tenants(by_schema: sql.Endpoint) -> None:
    """Sharding by schema would move local tables to a worker, and refuse to distribute the others."""
    with ExitStack() as cleanup:
        local = local_tables(cluster_of(by_schema, PLAIN), "run", cleanup)
        assert "schema" not in local.topology.lacks
        assert sql.rows(by_schema, IN_METADATA, ["accept_run_local"]) == []
        cleanup.enter_context(schema.copies(by_schema, "accept_run_some", [PLAIN.entries], 8))
        assert sql.rows(by_schema, IN_METADATA, ["accept_run_some"]) == [("accept_run_some.plain", "h")]
        own = own_tables(cluster_of(by_schema, PLAIN).topology, "own", cleanup)
        assert "schema" not in own.lacks
        assert sql.rows(by_schema, IN_METADATA, ["accept_own"]) == [("accept_own.memory_entries", "h")]


def test_a_table_on_a_worker_is_not_local(databases: dict[str, sql.Endpoint]) -> None:
    with sql.session(databases[SHARDED], autocommit=False) as session:
        sql.execute(session, "CREATE SCHEMA accept_x; CREATE TABLE accept_x.entries (namespace text)")
        assert on_worker(session, "accept_x") == ""
        sql.rows(session, "SELECT create_distributed_table('accept_x.entries', 'namespace', shard_count => 2)")
        assert on_worker(session, "accept_x") == "", "the only node is the coordinator, which is no worker"
        sql.execute(session, "UPDATE pg_dist_placement SET groupid = 1")
        assert on_worker(session, "accept_x") == "accept_x.entries"
        session.rollback()


FEATURE = """
Feature: A feature
  @members
  Scenario: one
    Given nothing

  @members @citus
  Scenario: other
    Given nothing
"""


def test_a_scenario_on_local_tables_can_find_the_applications(
    databases: dict[str, sql.Endpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lacks = dict.fromkeys(("patroni", "redis", "dcs"), "there is none")
    topology = cluster_of(databases[SHARDED], PLAIN, lacks).topology
    suite = Suite.on(begin_run(), topology, Settings.load({}), report=False)
    try:
        local, sharded = (
            suite.world(one, registry) for one in parse_feature(FEATURE, filename="a.feature").walk_scenarios()
        )
        assert local.profile.entries.table == "memory_entries"
        assert local.application is not None
        assert (local.application.profile, sharded.profile) == (PLAIN, PLAIN)
    finally:
        suite.close()


@pytest.mark.parametrize("table", ["plain", "parted_two"])
@pytest.mark.parametrize("kind", ["unique btree (namespace, key)", "hnsw (embedding vector_cosine_ops)"])
def test_an_index_that_one_shard_lacks_is_told(
    databases: dict[str, sql.Endpoint], tmp_path: Path, table: str, kind: str
) -> None:
    where = databases[SHARDED]
    profile = replace(PLAIN, tables={"plain": Expected(), "parted": Expected(), "absent": Expected(optional=True)})
    topology = replace(cluster_of(where, profile).topology, timing=Timing(multiplier=0.01))
    context = cast(Context, SimpleNamespace(world=world_of(Cluster(topology), tmp_path)))
    sharding_setup_steps.step_shards_have_indexes(context)
    (shard, *_) = [one.name for one in shards.placements(where, [table])]
    like = f"%USING {kind.removeprefix('unique ')}%"
    with sql.session(where) as session, sql.settings(session, citus__override_table_visibility="off"):
        index = sql.value(session, _OF_SHARD, [shard, like])
        sql.execute(session, "SET allow_system_table_mods = on")
        sql.execute(session, _VALID, [False, index])
        try:
            with pytest.raises(AssertionError, match=f"{shard} on the coordinator lacks {re.escape(kind)}"):
                sharding_setup_steps.step_shards_have_indexes(context)
        finally:
            sql.execute(session, _VALID, [True, index])


_OF_SHARD = "SELECT indexrelid FROM pg_index WHERE indrelid = %s::regclass AND pg_get_indexdef(indexrelid) LIKE %s"
_VALID = "UPDATE pg_index SET indisvalid = %s WHERE indexrelid = %s"


ODD = 'my app.Doc\'s "of" all'
_ODD = f"""
    CREATE SCHEMA "my app";
    CREATE TABLE {quoted(ODD)} (tenant text, vec vector(8), PRIMARY KEY (tenant));
    CREATE INDEX by_cast ON {quoted(ODD)} USING hnsw ((vec::halfvec(8)) halfvec_cosine_ops);
    SELECT create_distributed_table('{quoted(ODD).replace("'", "''")}', 'tenant', shard_count => 2);
    CREATE TABLE copied (name text UNIQUE);
    SELECT create_reference_table('copied')
"""


def test_shards_of_a_table_with_any_name_and_the_copies_of_a_small_one_are_judged(
    databases: dict[str, sql.Endpoint], tmp_path: Path
) -> None:
    """By an index on a cast, too. Each is dropped as somebody does it on a node, past Citus."""
    where = databases[SHARDED]
    for statement in _ODD.split(";\n"):
        sql.execute(where, statement)
    profile = replace(PLAIN, tables={ODD: Expected(), "copied": Expected()})
    topology = replace(cluster_of(where, profile).topology, timing=Timing(multiplier=0.01))
    context = cast(Context, SimpleNamespace(world=world_of(Cluster(topology), tmp_path)))
    sharding_setup_steps.step_shards_have_indexes(context)
    for table, like, index in ((ODD, "%hnsw%", "hnsw ("), ("copied", "%btree%", "unique btree (name)")):
        shard = [one.name for one in shards.placements(where, [table])][-1]
        with sql.session(where) as session:
            sql.execute(session, "SET citus.enable_manual_changes_to_shards = on")
            sql.execute(session, "SET citus.override_table_visibility = off")
            sql.execute(session, sql.value(session, _DROPPED, [shard, like]))
        with pytest.raises(AssertionError, match=re.escape(f"{shard} on the coordinator lacks {index}")):
            sharding_setup_steps.step_shards_have_indexes(context)


_DROPPED = """
    SELECT CASE WHEN conname IS NULL THEN format('DROP INDEX %%s', indexrelid::regclass)
                ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', indrelid::regclass, conname) END
      FROM pg_index JOIN pg_class ON pg_class.oid = indrelid LEFT JOIN pg_constraint ON conindid = indexrelid
     WHERE relname = %s AND pg_get_indexdef(indexrelid) LIKE %s
"""


def test_tables_that_citus_does_not_keep_are_not_judged(databases: dict[str, sql.Endpoint], tmp_path: Path) -> None:
    sql.execute(databases[SHARDED], "CREATE TABLE kept_by_nobody (key text PRIMARY KEY)")
    profile = replace(PLAIN, tables={"kept_by_nobody": Expected(unique=(("key",),))})
    context = cast(Context, SimpleNamespace(world=world_of(cluster_of(databases[SHARDED], profile), tmp_path)))
    with pytest.raises(NotAvailable, match="no table of schema profile plain that Citus keeps has an index"):
        sharding_setup_steps.step_shards_have_indexes(context)
