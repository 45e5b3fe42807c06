"""Whether scenarios find the shard of an entry on a table that its user describes; on a real Citus."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from steps.sharding import placement_steps
from support import sql
from support.engine import counter
from support.engine.world import World
from support.example_app import schema
from support.example_app.entries import Entry
from support.example_app.profile import Entries, Related
from support.settings import Settings
from support.sharding import shards
from support.target import citus as metadata
from support.target import tables
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology

_TABLES = """
    CREATE SCHEMA docs;
    CREATE TABLE docs.pages (tenant text, key text, value text, PRIMARY KEY (tenant, key));
    SELECT create_distributed_table('docs.pages', 'tenant', shard_count => 4);
    CREATE TABLE docs.numbered (id int DEFAULT 1, tenant text, key text, value text, UNIQUE (id, tenant, key));
    SELECT create_distributed_table('docs.numbered', 'id', shard_count => 4);
    CREATE TABLE docs.copied (tenant text, key text, value text, PRIMARY KEY (tenant, key));
    SELECT create_reference_table('docs.copied');
    CREATE TABLE docs.plain (tenant text, key text, value text, PRIMARY KEY (tenant, key));
    CREATE TABLE docs.topics_of_tenants (tenant text, name text, number int);
    CREATE TABLE docs.topics (key text PRIMARY KEY, number int, note text);
    SELECT create_reference_table('docs.topics');
    CREATE TABLE docs.local_topics (key text PRIMARY KEY, number int, note text);
    CREATE TABLE docs.topics_in_one_place (key text PRIMARY KEY, number int, note text);
    SELECT create_distributed_table('docs.topics_in_one_place', NULL);
"""


@pytest.fixture(scope="module")
def endpoint(citus: sql.Endpoint) -> sql.Endpoint:
    for statement in filter(None, map(str.strip, _TABLES.split(";\n"))):
        sql.execute(citus, statement)
    return citus


def described(at: sql.Endpoint, table: str, declared: Mapping[str, Any] | None = None) -> Topology:
    """The cluster of a user who describes that table of entries."""
    schema: dict[str, Any] = {"entries": {"table": table, "namespace": "tenant"}}
    schema |= {"tables": {table: declared}} if declared else {}
    topology = Topology(at.database, Login(at.user, at.password), Address(at.host, at.port))
    return tables.with_profile(topology, Settings.load({"accept_schema": schema}))


def test_entries_are_looked_for_where_they_hash_to_whatever_is_declared(endpoint: sql.Endpoint) -> None:
    topology = described(endpoint, "docs.pages")
    assert "sharded_entries" not in topology.lacks
    assert topology.profile.distributed() == ()
    names = [f"namespace {number}" for number in range(20)]
    stored = SimpleNamespace(entries=[Entry(name, "k", "v") for name in names])
    world = SimpleNamespace(handover=lambda _: stored, cluster=Cluster(topology), profile=topology.profile)
    expected = placement_steps._by_hash(cast(World, world))
    with sql.session(endpoint) as session:
        for name, places in expected.items():
            ((node, shard),) = places
            assert node == metadata.node_name(metadata.home(session, "docs.pages", name))
            number = sql.value(session, "SELECT get_shard_id_for_distribution_column('docs.pages', %s)", [name])
            assert shard.endswith(f"_{number}")
    assert len({shard for places in expected.values() for _, shard in places}) == 4


@pytest.mark.parametrize(
    ("table", "how"),
    [("docs.numbered", "by id, not by tenant"), ("docs.copied", "not at all"), ("docs.plain", "not at all")],
)
def test_what_needs_sharded_entries_is_skipped_where_they_are_not(endpoint: sql.Endpoint, table: str, how: str) -> None:
    assert described(endpoint, table).lacks["sharded_entries"].startswith(f"{table} is sharded {how}")


@pytest.mark.parametrize(("table", "locked"), [("docs.numbered", False), ("docs.copied", True), ("docs.pages", True)])
def test_an_entry_is_locked_where_citus_knows_its_shard(endpoint: sql.Endpoint, table: str, locked: bool) -> None:
    topology = described(endpoint, table)
    assert ("row_locks" not in topology.lacks) is locked
    counter.create(endpoint, topology.profile, "n")
    with sql.session(endpoint) as session:
        lock = partial(counter.final_reading, session, topology.profile, "n")
        if locked:
            assert lock() == 0
        else:
            with pytest.raises(sql.Error, match="FOR UPDATE"):
                lock()
    schema.remove(endpoint, topology.profile, ["n"])


def test_what_is_declared_is_expected(endpoint: sql.Endpoint) -> None:
    declared = {"distributed_by": "tenant", "unique": [["tenant", "key"]]}
    assert "sharded_entries" not in described(endpoint, "docs.plain", declared).lacks


_SECOND_COPIES = """
    INSERT INTO pg_dist_placement (placementid, shardid, shardstate, shardlength, groupid)
    SELECT nextval('pg_dist_placement_placementid_seq'), shardid, 1, 0, 7
      FROM pg_dist_shard WHERE logicalrelid = 'docs.pages'::regclass
"""
_REPLICATED = "UPDATE pg_dist_partition SET repmodel = %s WHERE logicalrelid = 'docs.pages'::regclass"


@pytest.fixture
def two_copies(endpoint: sql.Endpoint) -> Iterator[None]:
    """Each shard of docs.pages has a second placement, on a node that is not there."""
    sql.execute(endpoint, _SECOND_COPIES)
    yield
    sql.execute(endpoint, "DELETE FROM pg_dist_placement WHERE groupid = 7")
    sql.execute(endpoint, _REPLICATED, ["s"])


@pytest.mark.usefixtures("two_copies")
@pytest.mark.parametrize("declared", [None, {"distributed_by": "tenant", "unique": [["tenant", "key"]]}])
def test_entries_in_several_copies_of_a_shard_are_not_in_one_place(
    endpoint: sql.Endpoint, declared: Mapping[str, Any] | None
) -> None:
    """Declared or not; RB-01 demands one copy of each shard. Where Citus means to have one, two are its mistake."""
    assert "sharded_entries" not in described(endpoint, "docs.pages", declared).lacks
    sql.execute(endpoint, _REPLICATED, ["c"])
    lacks, told = described(endpoint, "docs.pages", declared).lacks, "there are 2 copies of each shard of docs.pages"
    assert lacks["sharded_entries"].startswith(told)
    assert lacks["row_locks"].startswith(told)


def test_a_copy_of_a_table_has_one_copy_of_each_shard(endpoint: sql.Endpoint) -> None:
    """There is one node: Citus would refuse to make two."""
    twice = replace(endpoint, options={"options": "-c citus.shard_replication_factor=2"})
    parts = [Entries("docs.pages", namespace="tenant"), Related("docs.topics_of_tenants", namespace="tenant")]
    with schema.copies(twice, "accept_once", parts, 4):
        found = shards.placements(endpoint, ["accept_once.pages", "accept_once.topics_of_tenants"])
        assert len(found) == 8
        assert metadata.copies_of_shards(endpoint, "accept_once.pages") == 0


def joined_with(at: sql.Endpoint, table: str, **declared: bool) -> Topology:
    """The cluster of a user who describes that table as the one that everything is joined with."""
    schema: dict[str, Any] = {"entries": {"table": "docs.pages", "namespace": "tenant"}}
    schema |= {"reference": {"table": table}, "tables": {table: declared}}
    topology = Topology(at.database, Login(at.user, at.password), Address(at.host, at.port))
    return tables.with_profile(topology, Settings.load({"accept_schema": schema}))


@pytest.mark.parametrize("table", ["docs.local_topics", "docs.topics_in_one_place"])
def test_what_needs_a_reference_table_is_skipped_where_there_is_none(endpoint: sql.Endpoint, table: str) -> None:
    """As of a schema that is sharded as a whole: each of its tables has one shard."""
    lacks = joined_with(endpoint, table).lacks
    assert lacks["reference"].startswith(f"{table} is not a reference table of Citus")
    assert "computed_reference" in lacks


def test_a_reference_table_is_used_and_one_that_is_declared_is_expected(endpoint: sql.Endpoint) -> None:
    assert "reference" not in joined_with(endpoint, "docs.topics").lacks
    assert "reference" not in joined_with(endpoint, "docs.local_topics", reference=True).lacks
