"""The slot that Patroni maintains for a scenario is gone afterwards, even if Patroni leaves it; on a real Patroni."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from killed_runs import killed_run
from real_patroni import MEMBER, real_patroni
from servers import citus_bindir

from support import sql
from support.errors import NotInTime
from support.failover.logical_consumer import MaintainedSlot
from support.faults.nemesis import Nemesis
from support.run import begin_run
from support.target import leftovers, slots
from support.target.cluster import Cluster
from support.target.patroni_commands import configure
from support.target.timing import Timing

_LOGICAL = {"postgresql": {"parameters": {"wal_level": "logical"}}}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with real_patroni(tmp_path_factory.mktemp("patroni"), **_LOGICAL) as found:
        yield _administered(found)


@pytest.fixture(autouse=True)
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of runs of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def with_citus(tmp_path: Path) -> Iterator[Cluster]:
    with real_patroni(tmp_path, citus_bindir(), "accept") as found:
        yield _administered(found)


@pytest.fixture
def leaves_slots(plain: Cluster) -> Iterator[Cluster]:
    """Patroni is told to leave logical slots alone, as operators do for those that others create."""
    configure(plain, {"ignore_slots": [{"type": "logical"}]})
    yield plain
    configure(plain, {"ignore_slots": None})


def _administered(cluster: Cluster) -> Cluster:
    topology = replace(cluster.topology, administrator=cluster.topology.application, timing=Timing(multiplier=0.5))
    return Cluster(topology)


def _left(cluster: Cluster) -> tuple[list[str], list[str]]:
    """The runs' slots and publications on the member."""
    there = cluster.administration_of(MEMBER)
    of_slots = sql.rows(there, "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical'")
    publications = sql.rows(there, "SELECT pubname FROM pg_publication")
    return [name for (name,) in of_slots], [name for (name,) in publications]


def _maintained_for_a_while(cluster: Cluster) -> list[str]:
    """What is told when it is over."""
    told = list[str]()
    slot = MaintainedSlot(cluster, begin_run().id, told.append)
    with Nemesis() as nemesis:
        nemesis.inject(slot)
        assert _left(cluster) == ([slot.name], [slot.name])
    return told


def test_patroni_drops_the_slot(plain: Cluster) -> None:
    assert _maintained_for_a_while(plain) == []
    assert _left(plain) == ([], [])


def test_a_slot_that_patroni_ignores_is_dropped_and_that_is_told(leaves_slots: Cluster) -> None:
    (told,) = _maintained_for_a_while(leaves_slots)
    assert "stays on a member, and keeps WAL until somebody drops it, as the suite did" in told
    assert _left(leaves_slots) == ([], [])


def test_a_slot_on_which_patroni_fails_is_dropped_for_good(with_citus: Cluster, tmp_path: Path) -> None:
    """Patroni fails on an unknown logical slot of Citus' database. Without that bug it drops it, and nothing is told.

    Then it maintains slots again: the next one would not come into effect otherwise.
    """
    for _ in range(2):
        told = _maintained_for_a_while(with_citus)
        failed = "KeyError: 'name'" in (tmp_path / "patroni.log").read_text()
        assert ["KeyError: 'name'" in line for line in told] == [True] * failed
        assert _left(with_citus) == ([], [])


def test_a_slot_in_use_is_left_and_its_wal_is_told(leaves_slots: Cluster) -> None:
    there = leaves_slots.administration_of(MEMBER)
    with sql.session(there) as session:
        sql.execute(session, "SELECT pg_create_logical_replication_slot('accept_1', 'pgoutput', true)")  # temporary
        with pytest.raises(NotInTime, match=r"pg1 still has it, and keeps WAL.*pg_drop_replication_slot\('accept_1'\)"):
            slots.drop(leaves_slots, [MEMBER], "accept_1", 1)


def test_slots_of_a_killed_run_are_dropped_and_those_of_others_are_not(leaves_slots: Cluster, tmp_path: Path) -> None:
    there, killed = leaves_slots.administration_of(MEMBER), killed_run(tmp_path)
    names = {f"accept_{killed}_slot_1", "accept_theirs", "theirs"}
    for name in names:
        sql.execute(there, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
    try:
        found = leftovers.remove(leaves_slots, begin_run().id, search=False)
        assert [killed in line for line in found.removed] == [True]
        assert {*_left(leaves_slots)[0]} == {"accept_theirs", "theirs"}
    finally:
        for name in _left(leaves_slots)[0]:
            sql.execute(there, "SELECT pg_drop_replication_slot(%s)", [name])
