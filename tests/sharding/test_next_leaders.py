"""Whether the groups still reach one another after a failover: on a real Citus that stands for all members."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import free_port
from patronis import Member, patroni

from steps.sharding import sharding_setup_steps
from support import sql
from support.engine.world import Context, World
from support.errors import Inconclusive
from support.reporting.evidence import Evidence
from support.run import Run
from support.sharding import setup
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, MemberAddress, Topology

GROUPS = {"pg1": 0, "pg2": 0, "w1": 1, "w2": 1}
"""Member -> its group; the first of each leads."""
_WORKER = """
    INSERT INTO pg_dist_node (groupid, nodename, nodeport, hasmetadata, metadatasynced)
    VALUES (1, '127.0.0.1', %s, true, true)
"""
_WORKER_AT = "UPDATE pg_dist_node SET nodename = %s, nodeport = %s WHERE groupid = 1"
Members = dict[str, Member]


@pytest.fixture
def where(citus: sql.Endpoint) -> Iterator[sql.Endpoint]:
    """A database whose nodes are the coordinator and a worker, both this server, which may log in to itself."""
    there = replace(citus, database="next_leaders")
    sql.execute(citus, f"CREATE DATABASE {there.database}")
    sql.execute(there, "CREATE EXTENSION citus")
    said = [citus.user, f"password={citus.password}"]
    sql.execute(there, "INSERT INTO pg_dist_authinfo VALUES (0, %s, %s)", said)
    sql.rows(there, "SELECT citus_set_coordinator_host('localhost', %s)", [citus.port])
    sql.execute(there, _WORKER, [citus.port])
    yield there
    sql.execute(citus, f"DROP DATABASE {there.database} WITH (FORCE)")


@pytest.fixture
def members(where: sql.Endpoint) -> Members:
    """What Patroni says of them: each is where Citus has the node of its group."""
    hosts = ("localhost", "127.0.0.1")
    return {
        name: Member(name, "leader" if name.endswith("1") else "replica", f"{hosts[group]}:{where.port}", "-", where)
        for name, group in GROUPS.items()
    }


@pytest.fixture
def cluster(where: sql.Endpoint, members: Members) -> Iterator[Cluster]:
    """A user's cluster, of which a superuser's login is known."""
    login, at = Login(where.user, where.password), Address(where.host, where.port)
    with ExitStack() as opened:
        rests = {
            name: opened.enter_context(patroni(one, [other for other in members.values() if same_group(one, other)]))
            for name, one in members.items()
        }
        found = tuple(MemberAddress(name, at, Address("127.0.0.1", rest), GROUPS[name]) for name, rest in rests.items())
        timing = Timing(multiplier=0.01)
        yield Cluster(Topology(where.database, login, at, administrator=login, members=found, timing=timing))


def same_group(one: Member, other: Member) -> bool:
    return GROUPS[one.name] == GROUPS[other.name]


def judge(cluster: Cluster, folder: Path) -> None:
    world = World(Run("run", folder, folder, 1), cluster, Evidence())
    sharding_setup_steps.step_next_leaders_reachable(cast(Context, SimpleNamespace(world=world)))


def nowhere() -> str:
    return f"localhost:{free_port()}"


def test_all_reach_one_another(cluster: Cluster, tmp_path: Path) -> None:
    judge(cluster, tmp_path)
    wanted, found = setup.reaching_after_failover(cluster)
    assert wanted == found
    assert {one: [*others] for one, others in wanted.items()} == {
        "pg2 of the coordinator": ["worker group 1"],
        "w2 of worker group 1": ["the coordinator"],
        "the coordinator": ["w2 of worker group 1"],
        "worker group 1": ["pg2 of the coordinator"],
    }


def test_a_replica_that_lets_no_other_group_in_is_told(cluster: Cluster, members: Members, tmp_path: Path) -> None:
    members["w2"].own = nowhere()
    told = "the coordinator, w2 of worker group 1: expected reached, observed not reached"
    with pytest.raises(AssertionError, match=f"^{told}$"):
        judge(cluster, tmp_path)


def test_a_replica_that_may_not_lead_need_not_be_reached(cluster: Cluster, members: Members, tmp_path: Path) -> None:
    members["w2"].own, members["w2"].tags = nowhere(), {"nofailover": True}
    judge(cluster, tmp_path)


def test_a_node_that_a_replica_does_not_reach_is_told(cluster: Cluster, where: sql.Endpoint, tmp_path: Path) -> None:
    sql.execute(where, _WORKER_AT, ["127.0.0.1", free_port()])
    told = "pg2 of the coordinator, worker group 1: expected reached, observed not reached"
    with pytest.raises(AssertionError, match=f"^{told}$"):
        judge(cluster, tmp_path)


def test_a_node_whose_address_does_not_follow_the_leader_hides_its_replicas(
    cluster: Cluster, members: Members, where: sql.Endpoint, tmp_path: Path
) -> None:
    """It may be that of a proxy, past which nobody reaches the members."""
    sql.execute(where, _WORKER_AT, ["LOCALHOST", where.port])
    members["w2"].own = nowhere()
    judge(cluster, tmp_path)


@pytest.mark.parametrize(
    "catalog", ["pg_dist_authinfo VALUES (7, 'postgres', 'password=x')", "pg_dist_poolinfo VALUES (7, 'port=1')"]
)
def test_logins_to_single_nodes_are_not_those_to_their_next_leaders(
    cluster: Cluster, members: Members, where: sql.Endpoint, tmp_path: Path, catalog: str
) -> None:
    sql.execute(where, f"INSERT INTO {catalog}")
    members["w2"].own = nowhere()
    judge(cluster, tmp_path)


def test_a_login_that_may_not_see_them_accuses_no_replica(
    cluster: Cluster, members: Members, where: sql.Endpoint
) -> None:
    alone = replace(where, options={"options": "-c citus.enable_ddl_propagation=off"})  # the worker is this server, too
    sql.execute(alone, "CREATE ROLE modest LOGIN PASSWORD 'modest'")
    members["w2"].own = nowhere()
    try:
        modest = Cluster(replace(cluster.topology, application=Login("modest", "modest"), administrator=None))
        assert not setup._logins_are_alike(modest)
        assert setup._logins_are_alike(cluster)
        wanted, _ = setup.reaching_after_failover(modest)
        assert wanted.keys() == {"pg2 of the coordinator", "w2 of worker group 1"}
    finally:
        sql.execute(alone, "DROP ROLE modest")


def test_a_replica_that_does_not_answer_is_not_locked_out(cluster: Cluster, tmp_path: Path) -> None:
    """It may be down."""
    topology = cluster.topology
    silent = Address("localhost", free_port())
    found = tuple(replace(one, postgres=silent) if one.name == "w2" else one for one in topology.members)
    with pytest.raises(Inconclusive, match=r"w2 of worker group 1: no answer \(.*Connection refused"):
        judge(Cluster(replace(topology, members=found)), tmp_path)
