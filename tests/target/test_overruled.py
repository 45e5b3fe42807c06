"""Which settings a change of Patroni's dynamic configuration does not reach, by real servers."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import free_port
from patronis import Member, patroni
from servers import BINDIR, postgres

from support import sql
from support.expectations import Expectations
from support.failover.missed_wal import least_wal
from support.target.baseline import _modes_not_promised, apply_baseline
from support.target.baseline_facts import Baseline
from support.target.cluster import Cluster
from support.target.overruled import ARCHIVING, WAL_KEPT, overruled
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually


def test_what_keeps_wal_is_what_a_test_changes() -> None:
    assert set(WAL_KEPT) == set(least_wal(1))


def test_a_setting_of_a_members_own_is_found_before_any_scenario(tmp_path: Path) -> None:
    """Patroni writes what all share, and what a member's own file says instead, into the same file."""
    written = tmp_path / "data/postgresql.conf"
    shared = {"max_wal_size": "2GB", "min_wal_size": 96, "max_slot_wal_keep_size": -1, "archive_command": "copy %p"}
    with postgres(tmp_path, free_port(), BINDIR, "archive_mode=on") as server:
        before = f"{written.read_text()}\n"

        def configured(**settings: str) -> None:
            """As Patroni does it."""
            own = shared | settings
            written.write_text(before + "".join(f"{name} = '{value}'\n" for name, value in own.items()))
            sql.execute(server, "SELECT pg_reload_conf()")
            eventually(lambda: _require_max_wal_size(server, str(own["max_wal_size"])), within=10, subject="it has it")

        leader = Member("pg1", "leader", f"127.0.0.1:{server.port}", "127.0.0.1:1", server)
        leader.configuration = {"postgresql": {"parameters": shared}}
        with patroni(leader, [leader]) as port:
            superuser, at = Login(server.user, server.password), Address(*server.hosts[0])
            members = (MemberAddress("pg1", at, Address("127.0.0.1", port)),)
            cluster = Cluster(
                Topology(server.database, superuser, at, administrator=superuser, members=members, lacks={})
            )
            configured()
            assert overruled(cluster, WAL_KEPT) == overruled(cluster, ARCHIVING) == ""
            configured(max_wal_size="4GB", archive_command="mine %p")
            own = "is set in the member's own configuration of Patroni on pg1"
            assert f"max_wal_size {own}" in overruled(cluster, WAL_KEPT)
            assert f"archive_command {own}" in overruled(cluster, ARCHIVING)
            assert "min_wal_size" not in overruled(cluster, WAL_KEPT)
            assert overruled(Cluster(replace(cluster.topology, administrator=None)), WAL_KEPT) == "", "not known"
            known, _ = apply_baseline(cluster.topology, Expectations())
            assert "max_wal_size" in known.lacks["expendable_wal"]
            configured(wal_keep_size="64MB")
            assert f"wal_keep_size {own}" in overruled(cluster, WAL_KEPT), "which the members do not share"
            configured()
            sql.execute(server, "ALTER SYSTEM SET max_wal_size = '2GB'")
            sql.execute(server, "SELECT pg_reload_conf()")
            eventually(lambda: _require_by_alter_system(cluster), within=10, subject="it is found")


def _require_max_wal_size(server: sql.Endpoint, size: str) -> None:
    if (shown := sql.value(server, "SHOW max_wal_size")) != size:
        raise NotYet(str(shown))


def _require_by_alter_system(cluster: Cluster) -> None:
    if "max_wal_size is set by ALTER SYSTEM on pg1" not in (found := overruled(cluster, WAL_KEPT)):
        raise NotYet(found)


@pytest.mark.parametrize("why", ["", "archive_command is set by ALTER SYSTEM on pg1"])
def test_archiving_that_a_test_cannot_change_is_lacking(why: str) -> None:
    somewhere = Topology("db", Login("app", ""), Address("h", 1))
    modes = dict(_modes_not_promised(somewhere, Baseline(archiving_overruled=why), Expectations()))
    assert modes.get("archiving", "") == why
