"""Which tables on a node are taken for shards, and by which names; on a real Citus."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from steps.sharding import distributed_query_steps, placement_steps, rebalancing_steps, worker_failure_steps
from support import sql
from support.engine.world import Context, World
from support.errors import Inconclusive
from support.example_app.profile import Entries, Expected, Profile
from support.isolation.judging import over_all_workers
from support.reporting.evidence import Evidence
from support.run import Run
from support.sharding import moves, shards, transactions
from support.sharding.checks import each_shard_by_index
from support.sharding.handover import MoveHandover, QueryHandover
from support.sharding.membership import NewWorker, require_equal_to_others
from support.sharding.moves import OwnTables, left_behind, make_tables, target_of
from support.sharding.placement_checks import each_on_one_live_node, evenly_spread
from support.sharding.plans import Task, TaskPlan
from support.sharding.transactions import Doubts
from support.sharding.workloads import start_transfers
from support.target import citus as citus_target
from support.target.citus import node_name
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet

LONG = "events_of_a_table_whose_name_leaves_no_room_for_a_number_aäö"
LONG_INDEX = f"{LONG[:50]}_by_key"
_TABLES = f"""
    CREATE SCHEMA named;
    CREATE TABLE named.events (tenant text, key text, value text);
    SELECT create_distributed_table('named.events', 'tenant', shard_count => 4);
    CREATE TABLE named.events_2024 (tenant text, key text, value text);
    CREATE TABLE named.events_20240101 (tenant text, key text, value text);
    SELECT create_distributed_table('named.events_20240101', 'tenant', shard_count => 4);
    CREATE TABLE named.parted (tenant text, day int) PARTITION BY RANGE (day);
    CREATE TABLE named.parted_1 PARTITION OF named.parted FOR VALUES FROM (0) TO (9);
    SELECT create_distributed_table('named.parted', 'tenant', shard_count => 4);
    CREATE TABLE named."{LONG}" (tenant text, key text, value text);
    CREATE INDEX "{LONG_INDEX}" ON named."{LONG}" (key);
    SELECT create_distributed_table('named."{LONG}"', 'tenant', shard_count => 4);
"""
_NODE = "INSERT INTO pg_dist_node (groupid, nodename, nodeport, shouldhaveshards) VALUES (%s, %s, 5432, true)"
TABLES = ("named.events", "named.events_20240101", "named.parted", f"named.{LONG}")


@pytest.fixture(scope="module")
def endpoint(citus: sql.Endpoint) -> Iterator[sql.Endpoint]:
    for statement in filter(None, map(str.strip, _TABLES.split(";\n"))):
        sql.execute(citus, statement)
    yield citus
    sql.execute(citus, "DROP SCHEMA named CASCADE")


@pytest.fixture
def cluster(endpoint: sql.Endpoint) -> Cluster:
    return cluster_at(endpoint)


def cluster_at(endpoint: sql.Endpoint) -> Cluster:
    login = Login(endpoint.user, endpoint.password)
    return Cluster(Topology(endpoint.database, login, Address(endpoint.host, endpoint.port)))


@pytest.mark.parametrize("table", TABLES)
def test_every_shard_is_found_on_its_node_and_nothing_else(cluster: Cluster, table: str) -> None:
    """Of partitioned tables, of tables whose names end in a number, and of those with the longest names."""
    known = shards.placements(cluster.write, [table])
    finding = each_on_one_live_node(known, shards.held_on_nodes(cluster, [table]), tables=[table])
    assert finding.holds, finding.words
    assert len(known) == 4


def test_a_table_that_is_distributed_by_range_has_values_in_place_of_hashes(cluster: Cluster) -> None:
    sql.execute(cluster.write, "CREATE TABLE named.ranged (tenant text)")
    sql.rows(cluster.write, "SELECT create_distributed_table('named.ranged', 'tenant', 'range')")
    shard = "INSERT INTO pg_dist_shard VALUES ('named.ranged'::regclass, 987654, 't', 'a', 'm')"
    sql.execute(cluster.write, shard)
    try:
        (found,) = shards.placements(cluster.write, ["named.ranged"])
        assert (found.shard, found.lowest, found.highest) == (987654, 0, 0)
    finally:
        sql.execute(cluster.write, "DELETE FROM pg_dist_shard WHERE shardid = 987654")


def test_a_shard_that_citus_has_forgotten_is_found(cluster: Cluster) -> None:
    foreign = shards.placements(cluster.write, ["named.parted"])[0].shard  # a number that shards have had
    sql.execute(cluster.write, f"CREATE TABLE named.events_{foreign} (LIKE named.events)")
    try:
        found = each_on_one_live_node(
            shards.placements(cluster.write, ["named.events"]), shards.held_on_nodes(cluster, ["named.events"])
        )
    finally:
        sql.execute(cluster.write, f"DROP TABLE named.events_{foreign}")
    assert found.holds is False
    assert f"events_{foreign} is on the coordinator, where it does not belong" in found.words


def test_one_who_may_not_ask_for_the_next_number_finds_the_same(cluster: Cluster) -> None:
    sql.execute(cluster.write, "CREATE ROLE reader LOGIN PASSWORD 'x'; REVOKE ALL ON pg_dist_shardid_seq FROM PUBLIC")
    try:
        theirs = cluster_at(cluster.write.as_user("reader", "x"))
        sql.execute(cluster.write, "GRANT USAGE ON SCHEMA named TO reader")
        assert shards.held_on_nodes(theirs, TABLES) == shards.held_on_nodes(cluster, TABLES)
    finally:
        sql.execute(
            cluster.write, "DROP OWNED BY reader; DROP ROLE reader; GRANT SELECT ON pg_dist_shardid_seq TO PUBLIC"
        )


def test_the_index_of_a_shard_is_known_by_a_shortened_name_too(cluster: Cluster) -> None:
    known = {one.name for one in shards.placements(cluster.write, [f"named.{LONG}"])}
    with sql.session(cluster.write) as session, sql.settings(session, citus__override_table_visibility="off"):
        found = sql.rows(session, "SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'named'")
    used = {shard: {index} for shard, index in found if shard in known}
    assert not any(f"{LONG_INDEX}_" in index for indexes in used.values() for index in indexes), "Citus shortens them"
    assert each_shard_by_index(used, known, {LONG_INDEX}).holds
    assert each_shard_by_index(used, known, {f"x{LONG_INDEX[1:]}"}).holds is False
    assert each_shard_by_index(used, known, {LONG_INDEX[:20]}).holds is False


def test_only_what_the_move_itself_left_behind_is_told(cluster: Cluster) -> None:
    """Neither what was there before, nor what is another database's."""
    write = cluster.write
    add = "INSERT INTO pg_dist_cleanup VALUES (nextval('pg_dist_cleanup_recordid_seq'), 7, 1, 'named.events_1', 99, 1)"
    there = replace(write, database="elsewhere")
    sql.execute(write, "CREATE DATABASE elsewhere")
    try:
        sql.execute(write, "CREATE ROLE citus_shard_earlier")
        sql.execute(write, add)
        before = left_behind(cluster)
        assert len(before["the coordinator"]) == 2
        assert left_behind(cluster, before) == {}
        foreign = "CREATE SUBSCRIPTION citus_shard_theirs CONNECTION 'host=nowhere' PUBLICATION none"
        sql.execute(there, f"{foreign} WITH (connect = false, slot_name = NONE)")
        assert left_behind(cluster, before) == {}
        sql.execute(write, "CREATE ROLE citus_shard_new")
        sql.execute(write, add)  # of the same shard as before
        left = left_behind(cluster, before)["the coordinator"]
        assert left[0] == "role citus_shard_new"
        assert left[1].startswith("to be removed: named.events_1 (record ")
        assert len(left) == 2
    finally:
        sql.execute(write, "DELETE FROM pg_dist_cleanup WHERE operation_id = 7")
        sql.execute(write, "DROP ROLE IF EXISTS citus_shard_earlier, citus_shard_new")
        sql.execute(there, "DROP SUBSCRIPTION IF EXISTS citus_shard_theirs")
        sql.execute(write, "DROP DATABASE elsewhere")


class TestTablesThatNobodyDeclares:
    """Every distributed table is judged: partitions, which have shards of their own, and other applications' tables."""

    @pytest.fixture
    def context(self, cluster: Cluster, tmp_path: Path) -> Context:
        """Its application declares one table."""
        tables = {"named.events": Expected(distributed_by="tenant")}
        profile = Profile("one", Entries("named.events", namespace="tenant"), tables=tables)
        found = Cluster(replace(cluster.topology, profile=profile, timing=Timing(multiplier=0.01)))
        world = World(Run("run", tmp_path, tmp_path, 1), found, Evidence())
        return cast(Context, SimpleNamespace(world=world))

    def test_all_are_in_order(self, context: Context) -> None:
        placement_steps.step_each_on_one_node(context)

    @pytest.mark.parametrize("table", ["parted_1", "events_20240101", "events"])
    def test_a_shard_that_is_not_active_is_told(self, context: Context, table: str) -> None:
        write = context.world.cluster.write
        (shard, *_) = [one.shard for one in shards.placements(write, [f"named.{table}"])]
        change = "UPDATE pg_dist_placement SET shardstate = %s WHERE shardid = %s"
        sql.execute(write, change, [4, shard])
        try:
            with pytest.raises(AssertionError, match=f"{table}_{shard} on the coordinator is not active"):
                placement_steps.step_each_on_one_node(context)
        finally:
            sql.execute(write, change, [1, shard])

    def test_a_shard_that_is_lost_is_told(self, context: Context) -> None:
        write = context.world.cluster.write
        (shard, *_) = [one.shard for one in shards.placements(write, ["named.parted_1"])]
        rename = "ALTER TABLE named.{} RENAME TO {}"
        with sql.session(write) as session, sql.settings(session, citus__enable_manual_changes_to_shards="on"):
            sql.execute(session, rename.format(f"parted_1_{shard}", "elsewhere"))
            try:
                with pytest.raises(AssertionError, match=f"parted_1_{shard} on the coordinator is not there"):
                    placement_steps.step_each_on_one_node(context)
            finally:
                sql.execute(session, rename.format("elsewhere", f"parted_1_{shard}"))

    @pytest.fixture
    def left(self, context: Context) -> Iterator[str]:
        """A shard that a move has left behind, and that is on Citus' list of what is to be removed."""
        write = context.world.cluster.write
        left = f"events_{shards.placements(write, ['named.parted'])[0].shard}"  # a number that shards have had
        add = "INSERT INTO pg_dist_cleanup VALUES (nextval('pg_dist_cleanup_recordid_seq'), 8, 1, %s, 0, 2)"
        sql.execute(write, f"CREATE TABLE named.{left} (LIKE named.events)")
        try:
            sql.execute(write, add, [f"named.{left}"])
            yield left
        finally:
            sql.execute(write, "DELETE FROM pg_dist_cleanup WHERE operation_id = 8")
            sql.execute(write, f"DROP TABLE IF EXISTS named.{left}")

    def test_a_shard_that_citus_is_going_to_remove_proves_nothing(self, context: Context, left: str) -> None:
        write = context.world.cluster.write
        with pytest.raises(Inconclusive, match=f"not removed yet .*: {left} on the coordinator"):
            placement_steps.step_each_on_one_node(context)
        sql.execute(write, "UPDATE pg_dist_cleanup SET node_group_id = 99 WHERE operation_id = 8")
        with pytest.raises(AssertionError, match=f"{left} is on the coordinator, where it does not belong"):
            placement_steps.step_each_on_one_node(context)

    def test_what_citus_removes_at_its_interval_is_waited_for(self, context: Context, left: str) -> None:
        """15 seconds by default, longer than for any other change; here, everything is ten times as fast."""
        write = context.world.cluster.write
        assert shards.removed_within(write) == 15
        context.world.cluster = Cluster(replace(context.world.cluster.topology, timing=Timing(multiplier=0.1)))
        removal = threading.Timer(1.0, sql.execute, [write, f"DROP TABLE named.{left}"])
        removal.start()
        try:
            placement_steps.step_each_on_one_node(context)
        finally:
            removal.join()

    def test_rows_of_a_shard_that_citus_is_going_to_remove_are_not_counted(self, context: Context, left: str) -> None:
        """It has them as well as the shard that took its place."""
        cluster = context.world.cluster
        row = "VALUES ('a', 'k', 'v')"
        sql.execute(cluster.write, f"INSERT INTO named.events {row}")
        sql.execute(cluster.write, f"INSERT INTO named.{left} {row}")
        try:
            ((node, shard),) = shards.rows_by_shard(cluster, ["a"])["a"]
            assert (node, shard != left) == ("the coordinator", True)
            found = shards.rows_on_nodes(cluster, cluster.profile.entries, ["key"], ["a"])
            assert found == {"the coordinator": [("k",)]}
        finally:
            sql.execute(cluster.write, "DELETE FROM named.events WHERE tenant = 'a'")


class TestWhereNothingIsDistributed:
    """No table of those that are asked about, or there is none to ask about."""

    @pytest.fixture
    def plain(self, cluster: Cluster) -> Cluster:
        """Its application has one table, which should be distributed."""
        tables = {"named.events_2024": Expected(distributed_by="tenant")}
        profile = Profile("plain", Entries("named.events_2024", namespace="tenant"), tables=tables)
        return Cluster(replace(cluster.topology, profile=profile, timing=Timing(multiplier=0.01)))

    @pytest.mark.parametrize("database", ["postgres", "undistributed"])
    def test_the_table_is_told(self, plain: Cluster, database: str, tmp_path: Path) -> None:
        """Also where Citus has never distributed anything."""
        there = replace(plain.write, database=database)
        if database != "postgres":
            sql.execute(plain.write, f"CREATE DATABASE {database}")
            sql.execute(there, "CREATE EXTENSION citus")
            sql.execute(there, "CREATE SCHEMA named; CREATE TABLE named.events_2024 (tenant text)")
        found = Cluster(replace(plain.topology, database=database))
        world = World(Run("run", tmp_path, tmp_path, 1), found, Evidence())
        with pytest.raises(AssertionError, match=r"named\.events_2024 is not distributed"):
            placement_steps.step_each_on_one_node(cast(Context, SimpleNamespace(world=world)))

    def test_no_shard_and_no_row_is_found(self, plain: Cluster) -> None:
        assert shards.held_on_nodes(plain, ["named.events_2024"]) == {"the coordinator": frozenset()}
        assert shards.rows_by_shard(plain, ["a"]) == {"a": []}
        assert shards.rows_on_nodes(plain, plain.profile.entries, ["key"], ["a"]) == {"the coordinator": []}

    def test_nothing_is_known_of_no_table(self, cluster: Cluster) -> None:
        assert shards.sharding_of(cluster.write, ()) == {}
        assert shards.placements(cluster.write, ()) == []
        assert shards.sizes(cluster.write, ()) == {}
        assert shards.hashes(cluster.write, ()) == {}
        assert shards.held_on_nodes(cluster, ()) == {"the coordinator": frozenset()}

    def test_no_name_is_at_home_anywhere(self, cluster: Cluster) -> None:
        with pytest.raises(Inconclusive, match="hardly any belongs on the coordinator"):
            citus_target.chosen(cluster.write, "named.events", "", iter(()), {0: 1})

    def test_a_worker_is_equal_to_the_others_without_reference_tables(self, plain: Cluster) -> None:
        (coordinator,) = citus_target.known_to(plain.write)
        reached = {str(coordinator.address): plain.topology.write}
        cluster = Cluster(replace(plain.topology, nodes=reached))
        require_equal_to_others(NewWorker(cluster, 0, coordinator.address))


class TestWhereNothingWasRebalanced:
    """A single node holds all shards, whatever other nodes there are."""

    @pytest.fixture
    def world(self, cluster: Cluster) -> World:
        profile = Profile("named", entries=Entries("named.events", namespace="tenant"))
        found = replace(cluster.topology, profile=profile)
        names: list[str] = []
        return cast(
            World,
            SimpleNamespace(
                cluster=Cluster(found),
                profile=profile,
                namespace="run",
                namespaces=names,
                another_namespace=lambda name: names.append(f"run-{name}") or f"run-{name}",
                handover=lambda kind: kind(),
            ),
        )

    def test_no_namespace_is_searched_for_on_a_node_without_shards(self, world: World) -> None:
        with pytest.raises(Inconclusive, match=r"worker group 7 holds no shard of named\.events: rebalance first"):
            shards.namespace_on(world, 7)
        first, second = (shards.namespace_on(world, 0) for _ in range(2))
        assert first != second

    def test_no_transfer_is_tried(self, world: World) -> None:
        with pytest.raises(Inconclusive, match="no worker group holds shards of the entries"):
            start_transfers(world, 2)

    def test_nothing_is_over_all_workers(self, world: World) -> None:
        with pytest.raises(Inconclusive, match=r"only the coordinator holds shards of named\.events"):
            over_all_workers(world, each=2)


class TestACoordinatorThatTakesShards:
    """It is a node like any other, and gets its share of the shards."""

    @pytest.fixture
    def spread(self, cluster: Cluster) -> Iterator[OwnTables]:
        """Two shards of four are on the coordinator, the first one among them; there are no such workers."""
        numbers = sorted(one.shard for one in shards.placements(cluster.write, ["named.events"]))
        move = "UPDATE pg_dist_placement SET groupid = %s WHERE shardid = %s"
        with sql.session(cluster.write) as session:
            for group in (1, 4):
                sql.execute(session, _NODE, [group, f"worker-{group}"])
            sql.execute(session, move, [4, numbers[1]])
            sql.execute(session, move, [1, numbers[3]])
        yield OwnTables(cluster, ("named.events",), [str(number) for number in numbers])
        with sql.session(cluster.write) as session:
            sql.execute(session, "UPDATE pg_dist_placement SET groupid = 0")
            sql.execute(session, "DELETE FROM pg_dist_node WHERE groupid > 0")

    def test_its_share_is_no_imbalance(self, spread: OwnTables) -> None:
        nodes = shards.nodes_for_shards(spread.cluster)
        assert nodes == ["the coordinator", "worker group 1", "worker group 4"]
        finding = evenly_spread(spread.placements, 4, nodes)
        assert finding.holds, finding.words

    def test_a_worker_that_should_have_shards_and_takes_none_is_expected_to(self, spread: OwnTables) -> None:
        where = spread.cluster.write
        sql.execute(where, "UPDATE pg_dist_node SET shouldhaveshards = groupid = 1")
        try:
            assert shards.nodes_for_shards(spread.cluster) == ["worker group 1", "worker group 4"]
        finally:
            sql.execute(where, "UPDATE pg_dist_node SET shouldhaveshards = true")

    def test_a_worker_that_takes_no_shards_is_not_the_one_to_be_drained(self, spread: OwnTables) -> None:
        """It would take some for good at the end."""
        where = spread.cluster.write
        assert shards.last_taking_shards(spread.cluster) == 4
        sql.execute(where, _NODE, [5, "in-reserve"])
        try:
            sql.execute(where, "UPDATE pg_dist_node SET shouldhaveshards = groupid < 5")
            assert shards.last_taking_shards(spread.cluster) == 4
            sql.execute(where, "UPDATE pg_dist_node SET shouldhaveshards = groupid IN (0, 5)")
            with pytest.raises(Inconclusive, match="only worker group 5 takes shards"):
                shards.last_taking_shards(spread.cluster)
        finally:
            sql.execute(where, "DELETE FROM pg_dist_node WHERE groupid = 5")
            sql.execute(where, "UPDATE pg_dist_node SET shouldhaveshards = true")

    @pytest.fixture
    def reserve(self, spread: OwnTables, tmp_path: Path) -> Iterator[World]:
        """There is another worker group, which takes no shards and has none."""
        sql.execute(spread.cluster.write, _NODE, [5, "in-reserve"])
        sql.execute(spread.cluster.write, "UPDATE pg_dist_node SET shouldhaveshards = groupid < 5")
        profile = Profile("named", Entries("named.events", namespace="tenant"))
        found = Cluster(replace(spread.cluster.topology, profile=profile))
        yield World(Run("run", tmp_path, tmp_path, 1), found, Evidence())
        sql.execute(spread.cluster.write, "DELETE FROM pg_dist_node WHERE groupid = 5")
        sql.execute(spread.cluster.write, "UPDATE pg_dist_node SET shouldhaveshards = true")

    def test_a_transaction_over_two_workers_is_on_workers(self, reserve: World) -> None:
        """The coordinator's part has no session that Citus opened, and is no worker's that could die."""

        def homes(names: list[str]) -> set[int]:
            return {citus_target.home(reserve.cluster.write, "named.events", name) for name in names}

        assert homes(shards.namespaces_over_workers(reserve, 2, workers_only=True)) == {1, 4}
        assert homes(shards.namespaces_over_workers(reserve, 3)) == {0, 1, 4}

    def test_a_worker_in_reserve_gets_no_shard_of_a_new_table(
        self, reserve: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The table with this spread is taken for the new one: these workers cannot be given one."""
        monkeypatch.setattr(moves, "co_located_pair", lambda world, count: (world.cluster, ("named.events",)))
        assert len(make_tables(reserve, 4).namespaces) == 4
        sql.execute(reserve.cluster.write, "UPDATE pg_dist_node SET shouldhaveshards = true")
        with pytest.raises(AssertionError, match="0 on worker group 5"):
            make_tables(reserve, 4)

    def test_a_worker_in_reserve_gets_none_by_a_rebalance(self, reserve: World, spread: OwnTables) -> None:
        handover = reserve.handover(MoveHandover)
        handover.tables, handover.before = spread, [replace(one, node="elsewhere") for one in spread.placements]
        with pytest.raises(Inconclusive, match="no two shards are co-located"):  # what is asked next
            rebalancing_steps.step_balanced(cast(Context, SimpleNamespace(world=reserve)), 4)

    def test_nothing_is_moved_to_a_worker_in_reserve(self, reserve: World) -> None:
        nodes = citus_target.known_to(reserve.cluster.write)
        assert (target_of(nodes, 1), target_of(nodes, 4)) == (4, 1)
        with pytest.raises(Inconclusive, match="no worker group but worker group 1 takes shards"):
            target_of([node for node in nodes if node.group != 4], 1)

    def test_a_worker_in_reserve_takes_no_part_in_a_query(self, reserve: World) -> None:
        """One that takes shards, and has none, should."""
        nodes = {node_name(node.group): str(node.address) for node in citus_target.known_to(reserve.cluster.write)}
        known = shards.placements(reserve.cluster.write, ["named.events"])
        tasks = tuple(Task(nodes[one.node], frozenset({one.name}), frozenset()) for one in known)
        reserve.handover(QueryHandover).plan = TaskPlan(4, tasks, ())
        context = cast(Context, SimpleNamespace(world=reserve))
        distributed_query_steps.step_every_worker(context)
        sql.execute(reserve.cluster.write, "UPDATE pg_dist_node SET shouldhaveshards = true")
        with pytest.raises(AssertionError, match="'worker group 5': 0"):
            distributed_query_steps.step_every_worker(context)

    def test_what_is_moved_from_worker_to_worker_is_on_a_worker(self, spread: OwnTables) -> None:
        assert spread.first_on_a_worker == 1


@pytest.mark.parametrize("track", ["on", "off"])
def test_a_transaction_is_seen_on_a_worker_whatever_is_tracked_there(citus: sql.Endpoint, track: str) -> None:
    options = {"options": f"-c track_activities={track}", "application_name": "citus_internal gpid=77"}
    with sql.session(replace(citus, options=options), autocommit=False) as working:
        assert sql.value(citus, transactions._WORKS_FOR, ["77"]) == 0
        sql.value(working, "SELECT 1")
        assert sql.value(citus, transactions._WORKS_FOR, ["77"]) == 1
        working.commit()
        assert sql.value(citus, transactions._WORKS_FOR, ["77"]) == 0


class TestTransactionsInDoubt:
    """Of a group that does not exist, so that Citus itself resolves none of them."""

    @pytest.fixture
    def prepare(self, citus: sql.Endpoint) -> Iterator[Callable[..., None]]:
        prepared: list[tuple[sql.Endpoint, str]] = []
        elsewhere = replace(citus, database="beside")
        sql.execute(citus, "CREATE DATABASE beside")

        def prepare(gid: str, database: str = "postgres") -> None:
            where = citus if database == "postgres" else elsewhere
            with sql.session(where) as session:
                sql.execute(session, "BEGIN")
                sql.execute(session, "SELECT pg_current_xact_id()")
                sql.execute(session, "PREPARE TRANSACTION %s", [gid])
            prepared.append((where, gid))

        yield prepare
        for where, gid in prepared:
            if sql.rows(where, "SELECT 1 FROM pg_prepared_xacts WHERE gid = %s", [gid]):
                sql.execute(where, "ROLLBACK PREPARED %s", [gid])
        sql.execute(citus, "DROP DATABASE beside")

    def test_those_of_other_databases_are_not_the_clusters(
        self, cluster: Cluster, prepare: Callable[..., None]
    ) -> None:
        ours = Cluster(replace(cluster.topology, sandbox=Path("here")))
        prepare("citus_9_8_1_0", "beside")
        Doubts(ours).require_none()
        assert sql.rows(cluster.write, citus_target._LEFT_IN_DOUBT) == []
        prepare("citus_9_8_2_0")
        with pytest.raises(NotYet, match=r"the coordinator holds citus_9_8_2_0$"):
            Doubts(ours).require_none()

    def test_those_of_others_that_come_later_are_not_waited_for(
        self, cluster: Cluster, prepare: Callable[..., None]
    ) -> None:
        """On an embedded cluster there are no others."""
        of_user, of_ours = Doubts(cluster), Doubts(Cluster(replace(cluster.topology, sandbox=Path("here"))))
        prepare("citus_9_7_1_0")
        for doubts in (of_user, of_ours):
            with pytest.raises(NotYet, match="the coordinator holds citus_9_7_1_0"):
                doubts.require_none()
        prepare("citus_9_7_2_0")
        sql.execute(cluster.write, "ROLLBACK PREPARED 'citus_9_7_1_0'")
        of_user.require_none()
        with pytest.raises(NotYet, match="the coordinator holds citus_9_7_2_0"):
            of_ours.require_none()

    def test_those_of_others_keep_no_transfers_from_being_settled(
        self, cluster: Cluster, prepare: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However long they are in doubt: here, at once for long."""
        monkeypatch.setattr(citus_target, "_LONG_IN_DOUBT", citus_target._LEFT_IN_DOUBT)
        vars(cluster)["groups"] = ()  # none of them has Patroni
        doubts = Doubts(cluster)
        worker_failure_steps._require_settled(cluster, doubts)
        prepare("citus_9_6_1_0")
        worker_failure_steps._require_settled(cluster, doubts)
        with pytest.raises(NotYet, match="on the coordinator there are transactions in doubt: citus_9_6_1_0"):
            citus_target.require_settled(cluster, [])
        with pytest.raises(NotYet, match="the coordinator holds citus_9_6_1_0"):
            worker_failure_steps._require_settled(cluster, Doubts(cluster))
