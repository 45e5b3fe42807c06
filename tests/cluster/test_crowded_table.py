"""Searches in a crowded table, against a real PostgreSQL: by the role's settings alone, they find enough or too few."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import sql
from support.cluster.checks import every_member_finds, nothing_failed, recall
from support.cluster.crowded_table import (
    CHURN,
    VACUUM,
    CrowdedTable,
    MemberSearches,
    make_crowded,
    search_members,
    start_churn,
)
from support.engine.history import History, Operation, Outcome
from support.engine.world import World
from support.example_app import schema
from support.example_app.vectors import PGVECTOR
from support.reporting.evidence import Evidence
from support.run import Run
from support.target.cluster import Cluster
from support.target.topology import Address, Login, MemberAddress, Topology

COUNT = 10
NAMESPACE = "own"


@pytest.fixture(scope="module")
def world(postgres: sql.Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """On a cluster of one member, with the application's schema."""
    sql.execute(postgres, "CREATE DATABASE crowded")
    sql.execute(replace(postgres, database="crowded"), "CREATE EXTENSION vector")
    schema.create(replace(postgres, database="crowded"), PGVECTOR)
    at = Address(postgres.host, postgres.port)
    login = Login(postgres.user, postgres.password)
    topology = Topology("crowded", login, at, members=(MemberAddress("one", at),), lacks={"citus": "none"})
    folder: Path = tmp_path_factory.mktemp("crowded")
    made = World(Run("run", folder, folder, 1), Cluster(topology), Evidence(), namespace=NAMESPACE)
    with made.cleanup:
        yield made
    sql.execute(postgres, f"ALTER ROLE {postgres.user} RESET ALL")  # other tests use the same server


@pytest.fixture(scope="module")
def table(world: World) -> CrowdedTable:
    return make_crowded(world, own=200, others=5000)


def searched(world: World, table: CrowdedTable) -> tuple[MemberSearches, History]:
    churn = start_churn(world, table)
    (found,) = search_members(world, table, churn, COUNT, times=12).values()
    churn.stop()
    return found, churn.history


def set_for_role(world: World, name: str, setting: str) -> None:
    sql.execute(world.cluster.write, f"ALTER ROLE {world.cluster.write.user} SET {name} = {setting}")


def test_by_the_roles_settings_a_search_finds_enough_or_too_few(world: World, table: CrowdedTable) -> None:
    set_for_role(world, "enable_bitmapscan", "off")  # so that the planner chooses the vector index in a small table
    set_for_role(world, "enable_sort", "off")
    few, _ = searched(world, table)
    finding = every_member_finds({"one": few.origins}, {"one": few.failed}, NAMESPACE, COUNT)
    assert finding.holds is False
    assert finding.words.startswith("one: of 12 searches ")
    assert recall(table.stored, few.answers, COUNT) < 0.95

    for name, setting in PGVECTOR.role_settings.items():
        set_for_role(world, name, setting)
    enough, history = searched(world, table)
    assert "embedding" in enough.plan
    assert every_member_finds({"one": enough.origins}, {"one": enough.failed}, NAMESPACE, COUNT).holds is True
    assert recall(table.stored, enough.answers, COUNT) >= 0.95
    assert nothing_failed(history, (CHURN, VACUUM)).holds is True
    assert {one.action for one in history} == {CHURN, VACUUM}


def test_a_search_that_fails_is_told() -> None:
    finding = every_member_finds({"one": []}, {"one": "invalid page in block 7"}, NAMESPACE, COUNT)
    assert (finding.holds, finding.words) == (False, "one: a search failed: invalid page in block 7")
    assert every_member_finds({"one": []}, {"one": ""}, NAMESPACE, COUNT).holds is None
    assert every_member_finds({}, {}, NAMESPACE, COUNT).holds is None


def test_what_fails_meanwhile_is_told() -> None:
    done = [Operation(0, action, "", None, Outcome.OK, 0, 1) for action in (CHURN, VACUUM)]
    assert nothing_failed(History(done), (CHURN, VACUUM)).holds is True
    assert nothing_failed(History(done[:1]), (CHURN, VACUUM)).words == "not done meanwhile: vacuum"
    untried = Operation(0, CHURN, "", None, Outcome.FAIL, 1, 2, "Too many open files", tried=False)
    assert nothing_failed(History([*done, untried]), (CHURN, VACUUM)).holds is None
    lost = Operation(0, CHURN, "", None, Outcome.UNKNOWN, 1, 2, "server closed the connection")
    finding = nothing_failed(History([*done, lost]), (CHURN, VACUUM))
    assert (finding.holds, "server closed the connection" in finding.words) == (False, True)
