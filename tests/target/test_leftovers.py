"""What killed runs leave in a user's cluster: found, told, removed; what may be somebody's is let alone."""

import dataclasses
import time
from pathlib import Path

import pytest
from killed_runs import INSERT, killed_run, namespaces
from swarm_tables import INDEXES, SWARM_TABLES

from support import sql
from support.example_app.known_profiles import SWARM
from support.run import RUNS, Life, begin_run, life_of
from support.target import leftovers
from support.target.cluster import Cluster
from support.target.topology import Address, Login, Topology


@pytest.fixture
def cluster(postgres: sql.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request) -> Cluster:
    """A user's database with the swarm's tables, and a folder of runs of its own."""
    monkeypatch.chdir(tmp_path)
    name = f"leftovers_{abs(hash(request.node.name)) % 10**8}"
    sql.execute(postgres, f"CREATE DATABASE {name}")
    there = dataclasses.replace(postgres, database=name)
    sql.execute(there, "CREATE EXTENSION vector")
    sql.execute(there, f"{SWARM_TABLES}{INDEXES}")
    address = Address(postgres.host, postgres.port)
    login = Login(postgres.user, postgres.password)
    return Cluster(Topology(database=name, application=login, write=address, profile=SWARM))


def test_what_a_killed_run_left_is_removed_by_the_next(cluster: Cluster, tmp_path: Path) -> None:
    killed = killed_run(tmp_path)
    sql.execute(cluster.write, INSERT, [f"accept-{killed}-1234"])
    sql.execute(cluster.write, INSERT, ["accept-is-a-word-of-theirs"])
    sql.execute(cluster.write, f"CREATE SCHEMA accept_{killed}_local; CREATE TABLE accept_{killed}_local.t (n int)")
    sql.execute(cluster.write, "CREATE SCHEMA accept_theirs")
    found = leftovers.remove(cluster, begin_run().id)
    assert [killed in line for line in found.removed] == [True]
    assert found.kept == ()
    assert namespaces(cluster) == ["accept-is-a-word-of-theirs"]
    schemas = sql.rows(cluster.write, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'accept%%'")
    assert schemas == [("accept_theirs",)]


def test_a_run_that_goes_on_keeps_its_rows(cluster: Cluster) -> None:
    other, own = begin_run(), begin_run()
    for run in (other, own):
        sql.execute(cluster.write, INSERT, [f"accept-{run.id}-1"])
    assert leftovers.remove(cluster, own.id) == leftovers.Leftovers()
    assert len(namespaces(cluster)) == 2


def test_of_a_run_elsewhere_the_age_decides(cluster: Cluster) -> None:
    young, old = (f"{int(time.time() - age):08x}beef" for age in (3600, 25 * 3600))
    for run in (young, old):
        assert life_of(run) is Life.UNKNOWN
        sql.execute(cluster.write, INSERT, [f"accept-{run}-1"])
    found = leftovers.remove(cluster, begin_run().id)
    assert [old in line for line in found.removed] == [True]
    assert [young in line and "may be going on elsewhere" in line for line in found.kept] == [True]
    assert namespaces(cluster) == [f"accept-{young}-1"]
    assert found.facts.keys() == {"Removed from earlier runs", "Left by earlier runs"}


def test_what_a_run_elsewhere_has_there_is_told(cluster: Cluster) -> None:
    cluster = Cluster(dataclasses.replace(cluster.topology, administrator=cluster.topology.application))
    with_a_schema, with_all = (f"{int(time.time() - age):08x}beef" for age in (3600, 1800))
    sql.execute(cluster.write, INSERT, [f"accept-{with_all}-1"])
    for run in (with_a_schema, with_all):
        sql.execute(cluster.write, f"CREATE SCHEMA accept_{run}_local")
    publication = f"accept_{with_all}_slot_1"
    sql.execute(cluster.write, f"CREATE PUBLICATION {publication}")
    assert [line.partition("elsewhere, ")[2] for line in leftovers.remove(cluster, begin_run().id).kept] == [
        f"has the schema accept_{with_a_schema}_local in the target",
        f"has rows, the schema accept_{with_all}_local, the publication {publication} in the target",
    ]


def test_a_database_that_does_not_answer_ends_nothing(cluster: Cluster) -> None:
    gone = Cluster(dataclasses.replace(cluster.topology, write=Address("127.0.0.1", 1)))
    assert "search for leftovers of earlier runs failed" in leftovers.remove(gone, begin_run().id).kept[0]


def test_a_folder_of_a_run_that_is_gone_tells_nothing(cluster: Cluster) -> None:
    assert not (RUNS / "000000000000").exists()
    assert life_of("000000000000") is Life.UNKNOWN


def test_publications_of_a_killed_run_are_dropped(cluster: Cluster, tmp_path: Path) -> None:
    """An administrator has made them: the application's role could not drop them."""
    administrator = cluster.topology.application
    cluster = Cluster(dataclasses.replace(cluster.topology, administrator=administrator))
    killed = killed_run(tmp_path)
    for name in (f"accept_{killed}_slot_1", "accept_theirs", "theirs"):
        sql.execute(cluster.write, f"CREATE PUBLICATION {name}")
    found = leftovers.remove(cluster, begin_run().id)
    assert [killed in line for line in found.removed] == [True]
    assert sql.rows(cluster.write, "SELECT pubname FROM pg_publication ORDER BY 1") == [("accept_theirs",), ("theirs",)]
