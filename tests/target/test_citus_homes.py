"""Which groups may hold a row, by the metadata of a real Citus: its placements are spread over groups by hand."""

from collections.abc import Iterator

import pytest
from conftest import free_port
from servers import citus_bindir
from servers import postgres as throw_away_postgres

from support import sql
from support.target.citus import home, homes

_TABLES = (
    "CREATE EXTENSION citus",
    "SELECT citus_set_coordinator_host('127.0.0.1', {port})",
    "UPDATE pg_dist_node SET shouldhaveshards = true",
    "CREATE TABLE by_namespace (namespace varchar(64), key text, PRIMARY KEY (namespace, key))",
    "CREATE TABLE by_key (namespace text, key text, PRIMARY KEY (namespace, key))",
    "CREATE TABLE by_tenant (tenant bigint, namespace text, key text)",
    "CREATE TABLE copied (namespace text, key text)",
    "CREATE TABLE local_one (namespace text, key text)",
    "SELECT create_distributed_table('by_namespace', 'namespace', shard_count => 8)",
    "SELECT create_distributed_table('by_key', 'key', shard_count => 8)",
    "SELECT create_distributed_table('by_tenant', 'tenant', shard_count => 8)",
    "SELECT create_reference_table('copied')",
    "SET allow_system_table_mods = on",
    "UPDATE pg_dist_placement SET groupid = 1 + shardid % 2 WHERE shardid NOT IN "
    "(SELECT shardid FROM pg_dist_shard WHERE logicalrelid = 'copied'::regclass)",
)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    bindir, port = citus_bindir(), free_port()
    settings = ("shared_preload_libraries=citus", "citus.node_conninfo=sslmode=prefer")
    with throw_away_postgres(tmp_path_factory.mktemp("sharded"), port, bindir, *settings) as endpoint:
        with sql.session(endpoint) as session:
            for statement in _TABLES:
                sql.execute(session, statement.format(port=port))
        yield endpoint


ROWS = [{"namespace": "run-a", "key": f"{number}"} for number in range(20)]


def test_a_namespace_that_is_the_distribution_column_has_one_home(sharded: sql.Endpoint) -> None:
    (found,) = set(homes(sharded, "by_namespace", ROWS))
    assert found == {home(sharded, "by_namespace", "run-a")}
    others = {name: home(sharded, "by_namespace", name) for name in map(str, range(20))}
    assert set(others.values()) == {1, 2}
    assert homes(sharded, "by_namespace", [{"namespace": name, "key": "k"} for name in others]) == [
        frozenset({group}) for group in others.values()
    ]


def test_rows_that_another_column_spreads_have_a_home_each(sharded: sql.Endpoint) -> None:
    assert homes(sharded, "by_key", ROWS) == [frozenset({home(sharded, "by_key", row["key"])}) for row in ROWS]
    assert {group for one in homes(sharded, "by_key", ROWS) for group in one} == {1, 2}


def test_a_column_that_is_not_given_leaves_every_group_with_a_shard(sharded: sql.Endpoint) -> None:
    assert homes(sharded, "by_tenant", ROWS[:2]) == [frozenset({1, 2})] * 2


def test_what_is_not_distributed_is_on_the_groups_that_hold_it(sharded: sql.Endpoint) -> None:
    assert homes(sharded, "copied", ROWS[:1]) == [frozenset({0})]
    assert homes(sharded, "local_one", ROWS[:1]) == [frozenset({0})]
