"""Worker groups by what their Patronis say: PostgreSQLs that are not reached from here, and clusters of their own."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import free_port
from etcd_servers import ensemble, put
from patronis import Member, patroni
from servers import citus_bindir
from servers import postgres as throw_away_postgres

from support import sql
from support.errors import RequirementMissing, UsageError
from support.settings import Settings
from support.target import health
from support.target.cluster import Cluster
from support.target.discovery import nodes, user_cluster
from support.target.discovery.identity import PatroniAnswer
from support.target.members import replica_states
from support.target.patroni import ClusterView, MemberView
from support.target.topology import Address, Topology
from support.waiting import NotYet

_NODE = """
    INSERT INTO pg_dist_node (groupid, nodename, nodeport, noderole, isactive, hasmetadata, metadatasynced)
    VALUES (1, 'w1.invalid', 5432, 'primary', true, true, true)
"""


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    """It knows a worker by a name that leads nowhere from here."""
    bindir, folder = citus_bindir(), tmp_path_factory.mktemp("coordinator")
    with throw_away_postgres(folder, free_port(), bindir, "shared_preload_libraries=citus") as endpoint:
        with sql.session(endpoint, statement_timeout=120) as session:
            sql.execute(session, "CREATE EXTENSION citus")
            sql.execute(session, "SET allow_system_table_mods = on")
            sql.execute(session, _NODE)
        yield endpoint


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sql.Endpoint]:
    """The PostgreSQL of which the worker's Patroni tells."""
    with throw_away_postgres(tmp_path_factory.mktemp("worker"), free_port()) as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither accept.toml nor a variable of the developer's."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def found(
    coordinator: sql.Endpoint,
    workers: list[Member],
    answering: int,
    *strangers: Member,
    silent: bool = True,
    **further: str,
) -> Iterator[Topology]:
    """The cluster where the Patronis of so many of these workers answer, and those of all are declared.

    Without `silent`, only those that answer are. Also declared are `strangers`, the members of other clusters.
    `further` are settings.
    """
    own = f"{coordinator.host}:{coordinator.port}"
    first = Member("c1", "leader", own, "c1.invalid:8008", coordinator)
    with ExitStack() as opened:
        rests = [opened.enter_context(patroni(first, [first]))]
        rests += [opened.enter_context(patroni(one, workers)) for one in workers[:answering]]
        rests += [opened.enter_context(patroni(one, [one])) for one in strangers]
        rests += [free_port() for _ in workers[answering:]] if silent else []
        said = {
            "ruvector_host": coordinator.host,
            "ruvector_port": coordinator.port,
            "ruvector_password": coordinator.password,
            "patroni_hosts": ",".join(f"localhost:{port}" for port in rests),
        }
        yield user_cluster.discover(Settings.load(said | further))


def test_what_its_patroni_says_is_judged(coordinator: sql.Endpoint, worker: sql.Endpoint) -> None:
    """Its replica does not stream: nothing is claimed of every replica without it."""
    workers = [
        Member("w1", "leader", "w1.invalid:5432", "w1.invalid:8008", worker),
        Member("w2", "replica", "w2.invalid:5432", "w2.invalid:8008", None, state="starting"),
    ]
    with found(coordinator, workers, answering=2) as topology:
        second = Cluster(topology).of_group(1)
        assert replica_states(second) == {"w2": "starting"}
        with pytest.raises(NotYet, match="w2 does not stream, it is starting"):
            health.require_replicating(second, "w2")
    assert topology.groups == (0, 1)
    assert {one.name: bool(one.unreached) for one in topology.members} == {"c1": False, "w1": True, "w2": True}
    for capability in ("nodes", "members"):
        assert "w1: its own address w1.invalid:5432 cannot be reached from here" in topology.lacks[capability]
    assert "patroni" not in topology.lacks


def test_a_member_of_it_that_is_dead_is_expected(coordinator: sql.Endpoint, worker: sql.Endpoint) -> None:
    workers = [
        Member("w1", "leader", "w1.invalid:5432", "w1.invalid:8008", worker),
        Member("w2", "replica", "w2.invalid:5432", "w2.invalid:8008", None),
    ]
    with found(coordinator, workers, answering=1) as topology:
        assert topology.groups == (0, 1)
        assert [(one.name, one.group) for one in topology.absent] == [("w2", 1)]


def test_a_stranger_is_not_taken_for_one_of_it(coordinator: sql.Endpoint, worker: sql.Endpoint) -> None:
    """The stranger answers, so it is not the member that does not."""
    workers = [
        Member("w1", "leader", "w1.invalid:5432", "w1.invalid:8008", worker),
        Member("w2", "replica", "w2.invalid:5432", "w2.invalid:8008", None),
    ]
    stranger = Member("x1", "leader", "x1.invalid:5432", "x1.invalid:8008", None, scope="other")
    complaint = r"no member answers at localhost:\d+ \(of cluster other\), .* w2: w2.invalid:8008 cannot be reached"
    with pytest.raises(RequirementMissing, match=complaint), found(coordinator, workers, 1, stranger, silent=False):
        pass


def test_a_node_of_which_no_patroni_is_known_is_not_forgotten(coordinator: sql.Endpoint) -> None:
    with found(coordinator, [], answering=0) as topology:
        assert topology.groups == (0, 1)
        assert "w1.invalid:5432: the node's own address cannot be reached from here" in topology.lacks["members"]


def of_its_own(worker: sql.Endpoint, *names: str) -> list[Member]:
    """The members of a group that is a cluster of its own for Patroni; the first leads."""
    places = {name: f"w{number}.invalid" for number, name in enumerate(names, 1)}
    return [
        Member(
            name, "replica" if number else "leader", f"{at}:5432", f"{at}:8008", None if number else worker, "shards"
        )
        for number, (name, at) in enumerate(places.items())
    ]


def test_a_group_may_be_a_cluster_of_its_own(coordinator: sql.Endpoint, worker: sql.Endpoint) -> None:
    """As before Patroni 3.0."""
    stranger = Member("x1", "leader", "x1.invalid:5432", "x1.invalid:8008", None, scope="other")
    with found(coordinator, of_its_own(worker, "w1", "w2"), 2, stranger) as topology:
        assert {one.name: one.group for one in topology.members} == {"c1": 0, "w1": 1, "w2": 1}
        assert [one.name.partition(" ")[2] for one in topology.absent] == ["(of cluster other)"]
        assert topology.scope == "test"


@pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed")
def test_its_keys_are_not_looked_for_below_the_coordinators(
    coordinator: sql.Endpoint, worker: sql.Endpoint, tmp_path: Path
) -> None:
    with ensemble(tmp_path, 1) as dcs:
        system = sql.value(coordinator, "SELECT system_identifier::text FROM pg_control_system()")
        for name, value in (("initialize", system), ("leader", "c1")):
            put(dcs.topology(0), f"/service/test/{name}", value)
        where = str(dcs.clients[0])
        with found(coordinator, of_its_own(worker, "w1", "w2"), 2, etcd_hosts=where) as topology:
            assert "(shards), and only the keys of one cluster (test) are read" in topology.lacks["dcs_keys"]
        one_cluster = [replace(one, scope="test") for one in of_its_own(worker, "w1", "w2")]
        with found(coordinator, one_cluster, 2, etcd_hosts=where) as topology:
            assert "dcs_keys" not in topology.lacks


def test_members_of_two_clusters_with_one_name_are_not_confused(
    coordinator: sql.Endpoint, worker: sql.Endpoint
) -> None:
    complaint = r"have the same name \(c1\).*ENABLE_CITUS=false"
    with pytest.raises(UsageError, match=complaint), found(coordinator, of_its_own(worker, "c1"), 1):
        pass


def test_the_coordinators_cluster_is_told_by_its_database_system(
    coordinator: sql.Endpoint, worker: sql.Endpoint
) -> None:
    """Its leader's Patroni is silent, and the first that answers is a worker's."""
    (started, system), *_ = sql.rows(
        coordinator, "SELECT now()::text, system_identifier::text FROM pg_control_system()"
    )
    running = {"state": "running", "postmaster_start_time": started, "database_system_identifier": system}
    own = f"{coordinator.host}:{coordinator.port}"
    ours = [
        Member("c1", "leader", own, "c1.invalid:8008", coordinator),
        Member("c2", "replica", "c2.invalid:5432", "c2.invalid:8008", None, extra=running),
    ]
    (theirs,) = of_its_own(worker, "w1")
    with patroni(theirs, [theirs]) as first, patroni(ours[1], ours) as second:
        said = {
            "ruvector_host": coordinator.host,
            "ruvector_port": coordinator.port,
            "ruvector_password": coordinator.password,
            "patroni_hosts": f"localhost:{first},localhost:{second},localhost:{free_port()}",
        }
        topology = user_cluster.discover(Settings.load(said))
    assert topology.scope == "test"
    assert {one.name: one.group for one in (*topology.members, *topology.absent)} == {"c1": 0, "c2": 0, "w1": 1}


def answer(scope: str, *members: str) -> PatroniAnswer:
    """Of the Patroni of the first of these members, each with its port on one and the same host."""
    shown: dict[str, Any] = {
        "role": "replica",
        "state": "streaming",
        "host": "127.0.0.1",
        "timeline": 1,
        "lag": 0,
        "tags": {},
    }
    listed = tuple(MemberView(name=f"{scope}-{port}", port=int(port), **shown) for port in members)
    address = Address("127.0.0.1", int(members[0]) + 1000)
    return PatroniAnswer(address, listed[0].name, scope, False, None, ClusterView(listed, False, scope))


def test_the_groups_of_one_host_are_told_apart() -> None:
    ours, one, two = answer("main", "5432"), answer("first", "5441", "5442"), answer("second", "5451")
    heard = [ours, one, two]
    assert nodes._of_node(Address("127.0.0.1", 5451), heard, [ours]) == [two]
    assert nodes._of_node(Address("127.0.0.1", 6432), heard, [ours, two]) == [one]  # a pooler's port
    assert nodes._of_node(Address("127.0.0.1", 5441), [ours], [ours]) == []
