"""What is said of a sharded cluster of which one node gives no answer; on a real Citus."""

import importlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import free_port

from support import sql
from support.engine.world import Context, World
from support.errors import Inconclusive, NotInTime
from support.example_app.profile import Entries, Expected, Profile
from support.reporting.evidence import Evidence
from support.run import Run
from support.sharding import setup
from support.sharding.handover import MoveHandover
from support.sharding.membership import NewWorker, require_equal_to_others
from support.sharding.moves import OwnTables
from support.sharding.shards import placements
from support.target.citus import data_node_leaders, known_to
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, Topology

_TABLES = """
    CREATE SCHEMA heard;
    CREATE TABLE heard.topics (key text, number int, note text);
    SELECT create_reference_table('heard.topics');
    CREATE TABLE heard.events (tenant text, key text, value text);
    SELECT create_distributed_table('heard.events', 'tenant', shard_count => 4);
    CREATE TABLE heard.others (tenant text);
    SELECT create_distributed_table('heard.others', 'tenant', colocate_with => 'heard.events');
    CREATE TABLE heard.apart (tenant text);
    SELECT create_distributed_table('heard.apart', 'tenant', colocate_with => 'none', shard_count => 1);
"""
EXPECTED = {"heard.topics": Expected(reference=True), "heard.events": Expected(distributed_by="tenant")}
PROFILE = Profile("heard", Entries("heard.events", namespace="tenant"), tables=EXPECTED)
SILENT = r"worker group 7: no answer \(.*Connection refused"


@pytest.fixture(scope="module")
def whole(citus: sql.Endpoint) -> Iterator[Cluster]:
    """A single node, which has everything."""
    for statement in filter(None, map(str.strip, _TABLES.split(";\n"))):
        sql.execute(citus, statement)
    login, at = Login(citus.user, citus.password), Address(citus.host, citus.port)
    (coordinator,) = known_to(citus)
    nodes = {str(coordinator.address): at}
    yield Cluster(Topology(citus.database, login, at, nodes=nodes, profile=PROFILE))
    sql.execute(citus, "DROP SCHEMA heard CASCADE")


@pytest.fixture
def cluster(whole: Cluster) -> Iterator[Cluster]:
    """The same, and a worker that gives no answer."""
    node = "INSERT INTO pg_dist_node (groupid, nodename, nodeport, hasmetadata) VALUES (7, '127.0.0.1', %s, true)"
    sql.execute(whole.write, node, [free_port()])
    yield whole
    sql.execute(whole.write, "DELETE FROM pg_dist_node WHERE groupid = 7")


@pytest.mark.parametrize("step", ["step_same_version", "step_distributed_as_declared", "step_references_as_declared"])
def test_a_node_without_citus_is_not_silent(whole: Cluster, postgres: sql.Endpoint, tmp_path: Path, step: str) -> None:
    node = "INSERT INTO pg_dist_node (groupid, nodename, nodeport, hasmetadata) VALUES (7, %s, %s, true)"
    sql.execute(whole.write, node, [postgres.host, postgres.port])
    steps = importlib.import_module("steps.sharding.sharding_setup_steps")
    try:
        with pytest.raises(AssertionError, match=r"worker group 7.*(there is no Citus|observed none)"):
            getattr(steps, step)(context_of(whole, tmp_path))
    finally:
        sql.execute(whole.write, "DELETE FROM pg_dist_node WHERE groupid = 7")


def context_of(cluster: Cluster, folder: Path) -> Context:
    return cast(Context, SimpleNamespace(world=World(Run("run", folder, folder, 1), cluster, Evidence())))


@pytest.mark.parametrize(
    ("step", "silence"),
    [
        ("step_same_version", SILENT),
        ("step_distributed_as_declared", SILENT),
        ("step_references_as_declared", SILENT),
        ("step_copy_on_each_node", "no login: worker group 7"),
    ],
)
def test_silence_of_a_node_is_no_other_setup(cluster: Cluster, tmp_path: Path, step: str, silence: str) -> None:
    steps = importlib.import_module("steps.sharding.sharding_setup_steps")
    with pytest.raises(Inconclusive, match=silence):
        getattr(steps, step)(context_of(cluster, tmp_path))


@pytest.mark.parametrize("step", ["step_distributed_as_declared", "step_references_as_declared"])
def test_another_setup_is_told_whoever_is_silent(cluster: Cluster, tmp_path: Path, step: str) -> None:
    other = Expected(distributed_by="key") if "distributed" in step else Expected(reference=True)
    profile = replace(PROFILE, tables={"heard.events": other})
    steps = importlib.import_module("steps.sharding.sharding_setup_steps")
    with pytest.raises(AssertionError, match=r"as the coordinator knows them: heard\.events, "):
        getattr(steps, step)(context_of(Cluster(replace(cluster.topology, profile=profile)), tmp_path))


STEPS = ("step_distributed_as_declared", "step_references_as_declared", "step_copy_on_each_node")


class TestWhatIsDeclared:
    """Co-location is judged where it is declared, and a table where it must exist."""

    def run(self, cluster: Cluster, folder: Path, tables: dict[str, Expected], *names: str) -> None:
        declared = replace(PROFILE, tables={**PROFILE.tables, **tables})
        steps = importlib.import_module("steps.sharding.sharding_setup_steps")
        for name in names:
            getattr(steps, name)(context_of(Cluster(replace(cluster.topology, profile=declared)), folder))

    def test_tables_that_citus_co_locates_by_itself(self, whole: Cluster, tmp_path: Path) -> None:
        alone, together = (Expected(distributed_by="tenant", colocated_with=one) for one in (None, "heard.events"))
        self.run(whole, tmp_path, {"heard.others": alone, "heard.apart": alone}, "step_distributed_as_declared")
        self.run(whole, tmp_path, {"heard.others": together}, "step_distributed_as_declared")
        with pytest.raises(
            AssertionError, match=r"heard\.apart, co-located with: expected heard\.events, observed none"
        ):
            self.run(whole, tmp_path, {"heard.apart": together}, "step_distributed_as_declared")

    def test_an_optional_table_that_does_not_exist(self, whole: Cluster, tmp_path: Path) -> None:
        optional = {
            "heard.tags": Expected(reference=True, optional=True),
            "heard.parts": Expected(distributed_by="tenant", optional=True),
        }
        self.run(whole, tmp_path, optional, *STEPS)

    def test_a_table_that_must_exist(self, whole: Cluster, tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match=r"heard\.tags: there is no such table"):
            self.run(whole, tmp_path, {"heard.tags": Expected(reference=True)}, "step_references_as_declared")
        with pytest.raises(AssertionError, match="1 of 2 tables are known to Citus"):
            self.run(whole, tmp_path, {"heard.tags": Expected(reference=True)}, "step_copy_on_each_node")


class TestTablesFoundBySearchPath:
    """The write endpoint finds the tables by a search_path that the nodes do not have."""

    @pytest.fixture
    def searching(self, whole: Cluster) -> Cluster:
        together = Expected(distributed_by="tenant", colocated_with="events")
        tables = {"topics": Expected(reference=True), "events": together, "others": together}
        profile = Profile("searching", Entries("events", namespace="tenant"), tables=tables)
        options = {"options": "-c search_path=heard"}
        return Cluster(replace(whole.topology, profile=profile, write_options=options))

    @pytest.mark.parametrize("step", STEPS)
    def test_they_are_known_to_each_node(self, searching: Cluster, tmp_path: Path, step: str) -> None:
        getattr(importlib.import_module("steps.sharding.sharding_setup_steps"), step)(context_of(searching, tmp_path))

    def test_a_new_node_knows_them_as_the_coordinator_does(self, searching: Cluster) -> None:
        require_equal_to_others(the_coordinator(searching))

    def test_one_of_that_name_elsewhere_is_another_table(self, searching: Cluster, tmp_path: Path) -> None:
        sql.execute(searching.at_node(known_to(searching.write)[0].address), "CREATE TABLE public.events (id int)")
        try:
            self.test_they_are_known_to_each_node(searching, tmp_path, "step_distributed_as_declared")
        finally:
            sql.execute(searching.write, "DROP TABLE public.events")


class TestWorkersThatAreLeftOut:
    """A server without any table of the cluster, which is a node by the coordinator's metadata."""

    @pytest.fixture
    def beside(self, whole: Cluster, postgres: sql.Endpoint) -> Iterator[Cluster]:
        node = "INSERT INTO pg_dist_node (groupid, nodename, nodeport, hasmetadata) VALUES (7, %s, %s, true)"
        sql.execute(whole.write, node, [postgres.host, postgres.port])
        yield whole
        sql.execute(whole.write, "DELETE FROM pg_dist_node WHERE groupid = 7")

    @pytest.mark.parametrize("step", ["step_distributed_as_declared", "step_references_as_declared"])
    def test_one_that_is_given_no_metadata_is_not_asked_for_them(
        self, beside: Cluster, tmp_path: Path, step: str
    ) -> None:
        judge = getattr(importlib.import_module("steps.sharding.sharding_setup_steps"), step)
        with pytest.raises(AssertionError, match="as worker group 7 knows them"):
            judge(context_of(beside, tmp_path))
        sql.execute(beside.write, "UPDATE pg_dist_node SET hasmetadata = false WHERE groupid = 7")
        judge(context_of(beside, tmp_path))

    def test_one_that_is_disabled_holds_no_data(self, beside: Cluster) -> None:
        assert list(data_node_leaders(beside)) == ["the coordinator", "worker group 7"]
        sql.execute(beside.write, "UPDATE pg_dist_node SET isactive = false WHERE groupid = 7")
        assert list(data_node_leaders(beside)) == ["the coordinator"]


class TestWorkersThatTakePart:
    """CS-02, of a worker whose state is read from the metadata; nobody is at its address."""

    @pytest.fixture
    def context(self, cluster: Cluster, tmp_path: Path) -> Context:
        sql.execute(cluster.write, "UPDATE pg_dist_node SET hasmetadata = true, metadatasynced = true")
        found = Cluster(replace(cluster.topology, timing=Timing(multiplier=0.2)))  # 3 seconds
        return context_of(found, tmp_path)

    def test_metadata_that_are_being_synchronized_are_waited_for(self, context: Context) -> None:
        """Citus does so on all workers after each change of a node's address."""
        where, synced = context.world.cluster.write, "UPDATE pg_dist_node SET metadatasynced = %s WHERE groupid = 7"
        steps = importlib.import_module("steps.sharding.sharding_setup_steps")
        sql.execute(where, synced, [False])
        daemon = threading.Timer(1, lambda: sql.execute(where, synced, [True]))
        daemon.start()
        try:
            steps.step_workers_ready(context)
        finally:
            daemon.join()

    def test_metadata_that_are_not_are_told(self, context: Context) -> None:
        sql.execute(context.world.cluster.write, "UPDATE pg_dist_node SET metadatasynced = false WHERE groupid = 7")
        steps = importlib.import_module("steps.sharding.sharding_setup_steps")
        with pytest.raises(AssertionError, match="worker group 7, has the metadata: expected yes, observed no"):
            steps.step_workers_ready(context)


class TestNodesThatDoNotReachOneAnother:
    """A listener that takes no connection stands for a firewall that drops packets: neither is ever answered."""

    @pytest.fixture
    def unanswered(self, whole: Cluster) -> Iterator[Cluster]:
        with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
            node = "INSERT INTO pg_dist_node (groupid, nodename, nodeport) VALUES (7, '127.0.0.1', %s)"
            sql.execute(whole.write, node, [silent.getsockname()[1]])
            yield whole
            sql.execute(whole.write, "DELETE FROM pg_dist_node WHERE groupid = 7")

    def waiting(self, cluster: Cluster, milliseconds: int) -> Cluster:
        """Its nodes wait that long for a connection."""
        options = {"options": f"-c citus.node_connection_timeout={milliseconds}"}
        return Cluster(replace(cluster.topology, options=options))

    def test_it_is_given_time_to_try_all(self, unanswered: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """Longer than one statement usually gets."""
        monkeypatch.setattr(setup, "STATEMENT", 0.5)
        found = setup.reaching(self.waiting(unanswered, 800))
        assert found["worker group 7"]["worker group 7"] == "not reached"

    def test_too_little_time_is_no_error(self, unanswered: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(setup, "_LONGEST", 0.5)
        with pytest.raises(AssertionError, match=r"the coordinator, worker group 7 could be tried .*gets no answer"):
            setup.reaching(self.waiting(unanswered, 20_000))


class TestUnloggedShards:
    """The tables that the coordinator shows are logged all the same."""

    @pytest.fixture(params=["heard.topics", "heard.events"])
    def shard(self, whole: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
        """A shard that somebody has set unlogged on its node; the copy of a reference table is one, too."""
        shard = placements(whole.write, [request.param])[-1].name
        self.alter(whole, shard, "UNLOGGED")
        yield shard
        self.alter(whole, shard, "LOGGED")

    def alter(self, cluster: Cluster, shard: str, persistence: str) -> None:
        with sql.session(cluster.write) as session:
            for setting in ("enable_ddl_propagation = off", "enable_manual_changes_to_shards = on"):
                sql.execute(session, f"SET citus.{setting}")
            sql.execute(session, "SET citus.override_table_visibility = off")
            sql.execute(session, f"ALTER TABLE heard.{shard} SET {persistence}")

    def judge(self, cluster: Cluster, folder: Path) -> None:
        importlib.import_module("steps.sharding.sharding_setup_steps").step_shards_logged(context_of(cluster, folder))

    def test_one_is_told(self, whole: Cluster, tmp_path: Path, shard: str) -> None:
        with pytest.raises(AssertionError, match=f"1 finding: {shard} on the coordinator is unlogged"):
            self.judge(whole, tmp_path)

    def test_one_whose_rows_may_be_lost_is_not(self, whole: Cluster, tmp_path: Path, shard: str) -> None:
        of = f"heard.{shard.rpartition('_')[0]}"
        tables = {**EXPECTED, of: replace(EXPECTED[of], unlogged=True)}
        self.judge(Cluster(replace(whole.topology, profile=replace(PROFILE, tables=tables))), tmp_path)

    def test_none_is(self, cluster: Cluster, tmp_path: Path) -> None:
        """A node that gives no answer, but should hold no shard, could not have said otherwise."""
        self.judge(cluster, tmp_path)


def the_coordinator(cluster: Cluster) -> NewWorker:
    """As if it had joined just now."""
    return NewWorker(cluster, 0, known_to(cluster.write)[0].address)


def test_nobody_differs_from_a_node_that_refuses_the_login(cluster: Cluster) -> None:
    with pytest.raises(Inconclusive, match="no login: worker group 7"):
        require_equal_to_others(the_coordinator(cluster))


def test_the_only_node_is_equal_to_itself(whole: Cluster) -> None:
    require_equal_to_others(the_coordinator(whole))


def test_a_drained_worker_that_refuses_the_login_is_waited_for(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = importlib.import_module("steps.sharding.rebalancing_steps")
    monkeypatch.setattr(steps, "REJOIN", 0.1)
    context = context_of(cluster, tmp_path)
    handover = context.world.handover(MoveHandover)
    handover.tables, handover.drained = OwnTables(cluster, ("heard.events",), ()), 7
    with pytest.raises(NotInTime, match="worker group 7 refuses the login"):
        steps.step_empty(context)
