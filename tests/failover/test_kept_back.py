"""What a real PostgreSQL says that it keeps for an archive, and has not frozen."""

from dataclasses import replace
from pathlib import Path

from conftest import free_port
from servers import BINDIR, postgres

from support import sql
from support.failover.retention import unarchived_wal, unfrozen_rows
from support.failover.retention_checks import UnarchivedWal
from support.target.cluster import Cluster
from support.target.members import NoAnswer
from support.target.topology import Address, Login, MemberAddress, Topology
from support.waiting import NotYet, eventually

SEGMENT = "SELECT pg_size_bytes(current_setting('wal_segment_size'))"
NEXT_SEGMENT = "SELECT pg_logical_emit_message(true, 'accept', 'archiving'), pg_switch_wal()"


def cluster_at(server: sql.Endpoint) -> Cluster:
    """Of the member m1, which is that PostgreSQL, and m2, which is down."""
    at, login = Address(server.host, server.port), Login(server.user, server.password)
    members = (MemberAddress("m1", at), MemberAddress("m2", Address(server.host, free_port())))
    return Cluster(Topology(server.database, login, at, members=members))


def test_wal_is_kept_for_an_archive_that_fails(tmp_path: Path) -> None:
    with postgres(tmp_path, free_port(), BINDIR, "archive_mode=on", "archive_command=false") as server:
        cluster, segment = cluster_at(server), sql.value(server, SEGMENT)
        for _ in range(2):
            sql.rows(server, NEXT_SEGMENT)

        def failed() -> None:
            if (found := unarchived_wal(cluster)["m1"]) != UnarchivedWal(2 * segment, fails=True):
                raise NotYet(str(found))

        eventually(failed, within=20, subject="archiving fails")
        found = unarchived_wal(cluster)
        assert isinstance(found["m2"], NoAnswer)
        sql.execute(server, f"CREATE ROLE anybody LOGIN PASSWORD '{server.password}'")
        anybody = Cluster(replace(cluster.topology, application=Login("anybody", server.password)))
        assert isinstance(unarchived_wal(anybody)["m1"], NoAnswer), "it may not list what waits"
        sql.execute(server, "GRANT pg_monitor TO anybody")
        assert unarchived_wal(anybody)["m1"] == found["m1"]
        told = unfrozen_rows(anybody)["m1"]
        assert isinstance(told, list), told
        assert {(one.database, one.kind, one.due) for one in told} >= {
            ("template0", "transactions", 200_000_000),
            ("postgres", "multixacts", 400_000_000),
        }
        assert not any(one.overdue(3) for one in told)


def test_nothing_is_kept_where_nothing_is_archived(tmp_path: Path) -> None:
    with postgres(tmp_path, free_port(), BINDIR) as server:
        sql.rows(server, NEXT_SEGMENT)
        assert unarchived_wal(cluster_at(server))["m1"] == UnarchivedWal(0, fails=False)
