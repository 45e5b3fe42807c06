"""A slot is dropped on every member, each for itself, once Patroni has had its time there; on real PostgreSQLs."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from conftest import free_port
from servers import postgres as throw_away_postgres

from support import sql
from support.errors import NotInTime
from support.target import slots
from support.target.cluster import Cluster
from support.target.timing import Timing
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import pause

SLOT, ROLE = "accept_1", "slot_dropper"
PATIENCE = 2.0  # seconds


@pytest.fixture(scope="module")
def servers(
    postgres: sql.Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[sql.Endpoint, sql.Endpoint]]:
    with throw_away_postgres(tmp_path_factory.mktemp("other"), free_port()) as other:
        for one in (postgres, other):
            sql.execute(one, f"CREATE ROLE {ROLE} LOGIN PASSWORD 'x'")
        yield postgres, other
    sql.execute(postgres, f"DROP ROLE {ROLE}")


@pytest.fixture
def cluster(servers: tuple[sql.Endpoint, sql.Endpoint]) -> Iterator[Cluster]:
    """Two members with the slot, and an administrator who may drop it on each."""
    for one in servers:
        sql.execute(one, f"ALTER ROLE {ROLE} LOGIN SUPERUSER")
        sql.execute(one, "SELECT pg_create_physical_replication_slot(%s)", [SLOT])
    first, _ = places = [Address(one.host, one.port) for one in servers]
    members = tuple(MemberAddress(f"pg{n}", place) for n, place in enumerate(places, 1))
    login, timing = Login(ROLE, "x"), Timing(multiplier=PATIENCE / 10)
    yield Cluster(Topology("postgres", login, first, members=members, administrator=login, timing=timing))
    for one in servers:
        _drop(one)


def _drop(where: sql.Endpoint) -> None:
    sql.execute(where, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")


def test_what_patroni_leaves_is_dropped(cluster: Cluster) -> None:
    begun = time.monotonic()
    assert slots.drop(cluster, cluster.members, SLOT, 10) == ["pg1", "pg2"]
    assert time.monotonic() - begun >= PATIENCE


def test_an_error_on_one_member_keeps_no_other_from_being_tried(
    cluster: Cluster, servers: tuple[sql.Endpoint, sql.Endpoint]
) -> None:
    sql.execute(servers[0], f"ALTER ROLE {ROLE} NOSUPERUSER")
    with pytest.raises(NotInTime, match=r"observed: pg1 \(.*permission denied.*\) still has it, and keeps WAL"):
        slots.drop(cluster, cluster.members, SLOT, PATIENCE + 2)
    assert [slots.is_on(cluster, name, SLOT) for name in cluster.members] == [True, False]


def test_where_no_administrator_is_known_it_is_only_waited_for(cluster: Cluster) -> None:
    unprivileged = Cluster(replace(cluster.topology, administrator=None))
    with pytest.raises(NotInTime, match="pg1 and pg2 still have it, and keep WAL for it"):
        slots.drop(unprivileged, cluster.members, SLOT, 1)
    assert all(slots.is_on(cluster, name, SLOT) for name in cluster.members)


def test_patroni_has_its_time_on_a_member_that_comes_late(
    cluster: Cluster, servers: tuple[sql.Endpoint, sql.Endpoint]
) -> None:
    """The test drops the slot where Patroni would, soon after the member has come."""
    first, late = servers
    _drop(first)
    sql.execute(late, f"ALTER ROLE {ROLE} NOLOGIN")

    def comes() -> None:
        pause(PATIENCE + 1)
        sql.execute(late, f"ALTER ROLE {ROLE} LOGIN")
        pause(PATIENCE / 2)
        _drop(late)

    coming = threading.Thread(target=comes)
    coming.start()
    try:
        assert slots.drop(cluster, cluster.members, SLOT, 20) == []
    finally:
        coming.join()
