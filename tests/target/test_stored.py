"""What a run noted is removed by name: by the next run, from the same target, whether or not tables can be searched."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from killed_runs import INSERT, killed_run, namespaces
from program import Program, copy, target
from swarm_tables import INDEXES, SWARM_TABLES

from support import sql
from support.cli import clusters
from support.example_app import schema
from support.example_app.known_profiles import SWARM
from support.example_app.vectors import PGVECTOR
from support.run import RUNS, STORED, begin_run
from support.target import leftovers
from support.target.cluster import Cluster
from support.target.stored import PARTS_OF, Notes, noted, parts_of
from support.target.topology import Address, Login, Topology
from support.waiting import NotYet, eventually

STORING = """
from behave import given
from support.example_app import samples
from support.waiting import pause

@given("entries in two namespaces")
def entries_in_two(context):
    world = context.world
    for namespace in (world.namespace, world.another_namespace("second")):
        world.entries.add_many(samples.entries(world.random, namespace, 20, world.profile))
    pause(300)
"""
SCENARIO = """
@normal
Feature: Rows
  @id.ZZ-01 @schema
  Scenario: A scenario that stores rows
    Given entries in two namespaces
    Then one and one are 2
"""
OTHER = SCENARIO.replace("Given entries in two namespaces\n    Then", "Then").replace("stores rows", "does nothing")
LEFT = "SELECT DISTINCT namespace FROM memory_entries"


@pytest.fixture
def cluster(postgres: sql.Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request) -> Cluster:
    monkeypatch.chdir(tmp_path)
    name = f"stored_{abs(hash(request.node.name)) % 10**8}"
    sql.execute(postgres, f"CREATE DATABASE {name}")
    there = replace(postgres, database=name)
    sql.execute(there, "CREATE EXTENSION vector")
    sql.execute(there, f"{SWARM_TABLES}{INDEXES}")
    login = Login(postgres.user, postgres.password)
    return Cluster(Topology(name, login, Address(postgres.host, postgres.port), profile=SWARM))


@pytest.fixture
def locked(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The table of patterns takes longer to search than a search may."""
    monkeypatch.setattr(leftovers, "SEARCH", 0.3)
    with sql.session(cluster.write, autocommit=False) as session:
        sql.execute(session, "LOCK TABLE patterns")
        yield


def leave(cluster: Cluster, run: str, *suffixes: str) -> None:
    notes = Notes(RUNS / run, cluster.topology)
    for name in (f"accept-{run}{suffix}" for suffix in suffixes):
        notes.add(name, ["entries"])
        sql.execute(cluster.write, INSERT, [name])


@pytest.mark.usefixtures("locked")
def test_noted_rows_are_removed_though_no_table_can_be_searched(cluster: Cluster, tmp_path: Path) -> None:
    killed = killed_run(tmp_path)
    leave(cluster, killed, "-1", "-1-second")
    found = leftovers.remove(cluster, begin_run().id)
    assert [f"{killed}, which" in line and "(2 rows)" in line for line in found.removed] == [True]
    assert [line.partition(":")[0] for line in found.unsearched] == ["patterns"]
    assert "Not searched for leftovers" in found.facts
    assert namespaces(cluster) == []
    assert not (RUNS / killed).exists()


def test_notes_about_another_target_wait_for_it(cluster: Cluster, tmp_path: Path) -> None:
    killed = killed_run(tmp_path)
    leave(cluster, killed, "-1")
    other = Cluster(replace(cluster.topology, database="postgres"))
    assert leftovers.remove(other, begin_run().id).removed == ()
    assert noted(RUNS / killed, f"{cluster.topology.write}/{cluster.topology.database}")
    leftovers.remove(cluster, begin_run().id)
    assert namespaces(cluster) == []


def test_notes_of_a_profile_that_has_changed_mean_the_tables_of_then(cluster: Cluster, tmp_path: Path) -> None:
    killed = killed_run(tmp_path)
    leave(cluster, killed, "-1")
    sql.execute(cluster.write, "CREATE TABLE notes (namespace text, key text, value text)")
    now = replace(SWARM, entries=replace(SWARM.entries, table="notes"))
    found = leftovers.remove(Cluster(replace(cluster.topology, profile=now)), begin_run().id)
    assert "(1 row)" in found.removed[0]
    assert namespaces(cluster) == []


def test_a_line_that_was_cut_off_hides_no_other(cluster: Cluster, tmp_path: Path) -> None:
    killed = killed_run(tmp_path)
    leave(cluster, killed, "-1")
    with (RUNS / killed / STORED).open("a") as file:
        file.write('{"namespace": "acc')
    assert "(1 row)" in leftovers.remove(cluster, begin_run().id).removed[0]


def test_notes_outlive_the_folders_of_old_runs(cluster: Cluster, tmp_path: Path) -> None:
    kept, gone, plain = (killed_run(tmp_path) for _ in range(3))
    leave(cluster, kept, "-1")
    Notes(RUNS / gone, replace(cluster.topology, sandbox=tmp_path / "ended"))
    for run in (kept, gone, plain):
        (RUNS / run / "topology.json").write_text(json.dumps({"password": "secret"}))
        os.utime(RUNS / run, times=(time.time() - 2 * clusters.FORGOTTEN_AFTER,) * 2)
    clusters.sweep()
    assert [one.name for one in RUNS.iterdir()] == [kept]
    assert sorted(one.name for one in (RUNS / kept).iterdir()) == ["life", STORED]
    assert "(1 row)" in leftovers.remove(cluster, begin_run().id).removed[0]


def test_rows_in_tables_of_the_run_need_no_notes(cluster: Cluster) -> None:
    run = begin_run()
    notes = Notes(run.directory, cluster.topology, own_tables=True)
    notes.add(run.namespace)
    assert list(notes.noted.namespaces) == [run.namespace]
    assert [one.namespaces for one in noted(run.directory, _target(cluster))] == [{}]


def test_each_part_but_the_entries_has_its_tag() -> None:
    assert {"entries"}.union(*PARTS_OF.values()) == {name for name, _ in SWARM.parts()}
    assert parts_of({"critical", "graph"}) == {"entries", "nodes", "edges"}


def _target(cluster: Cluster) -> str:
    return f"{cluster.topology.write}/{cluster.topology.database}"


@pytest.fixture
def program(tmp_path: Path, postgres: sql.Endpoint) -> Program:
    """The program, pointed at a database with the example's tables that holds nothing."""
    sql.execute(postgres, "DROP DATABASE IF EXISTS stored_killed")
    sql.execute(postgres, "CREATE DATABASE stored_killed")
    there = replace(postgres, database="stored_killed")
    sql.execute(there, "CREATE EXTENSION vector")
    schema.create(there, PGVECTOR)
    made = copy(tmp_path / "project")
    made.variables = target(there)
    return made


@pytest.mark.parametrize("whole", [True, False], ids=["the program", "behave alone"])
def test_a_run_that_is_killed_in_a_scenario_leaves_nothing_for_good(
    program: Program, postgres: sql.Endpoint, whole: bool
) -> None:
    there = replace(postgres, database="stored_killed")
    program.write_features({"cluster/a.feature": SCENARIO})
    (program.project / "steps" / "storing_steps.py").write_text(STORING)

    def stored() -> list[sql.Row]:
        found = sql.rows(there, LEFT)
        if len(found) < 2:
            raise NotYet(f"stored: {found}")
        return found

    with program.started("run") as running:
        eventually(stored, within=60, subject="entries are in both namespaces")
        process = running.pid if whole else _behave(running.pid)
        os.kill(process, 9)
        running.wait(60)
    assert len(sql.rows(there, LEFT)) == 2
    assert [path.name for path in program.project.glob(".accept/runs/*/*.jsonl") if path.name == STORED] == [STORED]
    program.write_features({"cluster/b.feature": OTHER})
    ended = program.run("run")
    assert ended.status == 0, str(ended)
    assert sql.rows(there, LEFT) == []
    facts = (program.project / "allure-results/environment.properties").read_text()
    assert "were removed (40 rows)" in facts
    assert list((program.project / RUNS).iterdir()) == []


def _behave(program: int) -> int:
    found = [one for one in psutil.Process(program).children(recursive=True) if "behave" in " ".join(one.cmdline())]
    return int(found[-1].pid)
