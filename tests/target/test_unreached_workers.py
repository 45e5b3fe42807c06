"""A worker group whose PostgreSQL is not reached from here stays part of the cluster, by what its Patroni says."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import free_port
from patronis import Member, patroni
from servers import citus_bindir
from servers import postgres as throw_away_postgres

from support import sql
from support.errors import RequirementMissing
from support.settings import Settings
from support.target import health
from support.target.cluster import Cluster
from support.target.discovery import user_cluster
from support.target.members import replica_states
from support.target.topology import Topology
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
    coordinator: sql.Endpoint, workers: list[Member], answering: int, *strangers: Member, silent: bool = True
) -> Iterator[Topology]:
    """The cluster where the Patronis of so many of these workers answer, and those of all are declared.

    Without `silent`, only those that answer are. Also declared are `strangers`, the members of other clusters.
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
        yield user_cluster.discover(Settings.load(said))


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
