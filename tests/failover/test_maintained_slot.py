"""The slot that Patroni maintains for a scenario is gone afterwards, even if Patroni leaves it; on a real Patroni."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from killed_runs import disturbing_run, killed_run
from psycopg2.extras import LogicalReplicationConnection
from real_patroni import MEMBER, real_patroni
from servers import citus_bindir

from support import sql
from support.cli.heal import heal
from support.errors import NotInTime
from support.failover import logical_consumer
from support.failover.logical_consumer import MaintainedSlot
from support.faults.nemesis import Nemesis
from support.run import Life, begin_run, forget, life_of
from support.settings import Settings
from support.suite import Suite
from support.target import left_slots, leftovers, slots
from support.target.cluster import Cluster
from support.target.patroni_commands import configure
from support.target.patroni_configuration import shared_configuration
from support.target.timing import Timing
from support.waiting import eventually, pause

_LOGICAL = {"postgresql": {"parameters": {"wal_level": "logical"}}}
_INJECTS = """
import signal, sys
from pathlib import Path
from support.failover.logical_consumer import MaintainedSlot
from support.faults.nemesis import Nemesis
from support.run import begin_run
from support.target.cluster import Cluster
from support.target.topology import Topology
cluster = Cluster(Topology.load(Path(sys.argv[1])))
Nemesis().inject(MaintainedSlot(cluster, begin_run().id, print))
print("done", flush=True)
signal.pause()
"""


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
    assert "was not dropped by Patroni within 5 s" in told
    assert "`ignore_slots` names it, Patroni is paused, or Patroni fails on it" in told
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


@pytest.fixture
def killed_with_a_slot(leaves_slots: Cluster, tmp_path: Path) -> Cluster:
    """Patroni's configuration has the slot of a run that was killed, and Patroni would leave the slot."""
    run = disturbing_run(_INJECTS, leaves_slots, tmp_path)
    run.kill()
    run.communicate()
    assert len(_left(leaves_slots)[0]) == 1
    return leaves_slots


def _settings(cluster: Cluster, **more: object) -> Settings:
    topology = cluster.topology
    login = {"ruvector_user": topology.application.user, "ruvector_password": topology.application.password}
    where = {"ruvector_host": topology.write.host, "ruvector_port": topology.write.port, "ruvector_db": "postgres"}
    return Settings.load({**where, **login, "patroni_hosts": [str(cluster.address_of(MEMBER).rest)], **more})


def test_the_next_run_drops_the_slot_of_a_killed_one_that_is_still_configured(killed_with_a_slot: Cluster) -> None:
    lacks = dict.fromkeys(("citus", "redis", "dcs", "schema"), "there is none")
    topology = replace(killed_with_a_slot.topology, lacks=lacks)
    suite = Suite.on(begin_run(), topology, Settings.load({}), report=False)
    suite.close()
    assert len(suite.leftovers.removed) == 1
    assert _left(killed_with_a_slot) == ([], [])


def test_heal_drops_the_slot_of_a_killed_run(killed_with_a_slot: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    (slot,), _ = _left(killed_with_a_slot)
    login = killed_with_a_slot.topology.application
    administered = _settings(killed_with_a_slot, accept_admin_user=login.user, accept_admin_password=login.password)
    assert heal(administered) == 0
    assert f"Replication slots: {slot} was dropped on pg1, where Patroni had left it" in capsys.readouterr().out
    assert _left(killed_with_a_slot) == ([], [])
    assert heal(administered) == 0
    assert "Replication slots" not in capsys.readouterr().out


def test_heal_names_the_slot_that_it_may_not_drop(
    killed_with_a_slot: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    (slot,), _ = _left(killed_with_a_slot)
    for _ in range(2):  # the second time, no configuration is given back
        assert heal(_settings(killed_with_a_slot)) == 1
        told = capsys.readouterr().out.replace("\n", "")
        assert "pg1 still has it, and keeps WAL" in told
        assert f"SELECT pg_drop_replication_slot('{slot}') drops it" in told
    left_slots.drop(killed_with_a_slot, slot)


def test_a_slot_that_cannot_be_dropped_is_dropped_by_the_next_run(
    leaves_slots: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its publication is dropped at once. The run ends normally, and so its folder is removed."""
    monkeypatch.setattr(logical_consumer, "RECOVERY", 2.0)
    run, there = begin_run(), leaves_slots.administration_of(MEMBER)
    slot = MaintainedSlot(leaves_slots, run.id, print)
    nemesis = Nemesis()
    nemesis.inject(slot)
    login = {"user": there.user, "password": there.password, "dbname": there.database}
    reader = psycopg2.connect(
        host=there.host, port=there.port, connection_factory=LogicalReplicationConnection, **login
    )
    with closing(reader), reader.cursor() as cursor:
        said = {"proto_version": "1", "publication_names": slot.name}
        cursor.start_replication(slot_name=slot.name, options=said)
        with pytest.raises(NotInTime, match="pg1 still has it"):
            nemesis.heal()
    assert _left(leaves_slots) == ([slot.name], [])
    forget(run.directory)
    assert life_of(run.id) is Life.OVER
    found = leftovers.remove(leaves_slots, begin_run().id, search=False)
    assert ([run.id in line for line in found.removed], found.kept) == ([True], ())
    assert _left(leaves_slots) == ([], [])
    assert not run.directory.exists()


def test_a_slot_of_a_run_of_which_nothing_is_known_is_dropped_after_half_an_hour(leaves_slots: Cluster) -> None:
    there = leaves_slots.administration_of(MEMBER)
    young, old = (f"accept_{int(time.time() - age):08x}beef_slot_1" for age in (600, 3600))
    for name in (young, old):
        sql.execute(there, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
        sql.execute(there, f"CREATE PUBLICATION {name}")
    try:
        found = leftovers.remove(leaves_slots, begin_run().id, search=False)
        assert [f"the slot {old} of run" in line for line in found.removed] == [True]
        (kept,) = found.kept
        assert f"elsewhere, has the publication {young}, the slot {young} on pg1 in the target" in kept
        assert _left(leaves_slots) == ([young], [young])
    finally:
        for name in _left(leaves_slots)[1]:
            left_slots.drop(leaves_slots, name)


def test_a_slot_that_is_no_longer_configured_is_found_at_once(leaves_slots: Cluster) -> None:
    """What GET /config says is as old as the member's last loop, which lasts long here: its query is not answered."""
    name = f"accept_{int(time.time()):08x}beef_slot_1"
    slot = {"type": "logical", "database": "postgres", "plugin": "pgoutput"}

    def is_there() -> None:
        assert _left(leaves_slots)[0] == [name]

    configure(leaves_slots, {"slots": {name: slot}})
    try:
        eventually(is_there, within=20, subject="Patroni makes the slot")
        assert left_slots.find(leaves_slots).on == {}
        with _long_loop(leaves_slots):
            configure(leaves_slots, {"slots": None})
            assert "slots" in shared_configuration(leaves_slots)
            assert left_slots.find(leaves_slots).on == {name: [MEMBER]}
    finally:
        configure(leaves_slots, {"slots": None})
        left_slots.drop(leaves_slots, name)


@contextmanager
def _long_loop(cluster: Cluster) -> Iterator[None]:
    there = cluster.administration_of(MEMBER)
    pids = [pid for (pid,) in sql.rows(there, "SELECT pid FROM pg_stat_activity WHERE application_name ~ '^Patroni'")]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        pause(2.5)  # until Patroni, which has read the DCS, waits for the answer
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
