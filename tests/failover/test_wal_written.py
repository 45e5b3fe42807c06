"""A fault writes little WAL, and not for long, whatever becomes of it: no disk may fill. On real PostgreSQLs."""

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import free_port
from servers import BINDIR
from servers import postgres as throw_away_postgres

from support import sql
from support.errors import Inconclusive
from support.failover import missed_wal
from support.faults import replay, shutdown
from support.faults.replay import ReplayStuck
from support.faults.shutdown import ArchivingFails
from support.target.timing import Timing
from support.waiting import NotYet, pause

MEGABYTE = 2**20
SEGMENT = 16 * MEGABYTE


def led_by(server: sql.Endpoint) -> Any:
    """A cluster whose leader is that server, on a site where nothing runs."""
    nothing = SimpleNamespace(running=list, suspend=lambda those: None)
    return SimpleNamespace(
        leader=lambda: "pg1",
        of_member=lambda name: server,
        administration_of=lambda name: server,
        as_declared=SimpleNamespace(members=("pg1", "pg2")),
        view=lambda: SimpleNamespace(members=()),
        site=SimpleNamespace(hosts={"pg2": nothing}),
        topology=SimpleNamespace(timing=Timing()),
    )


def written(server: sql.Endpoint) -> int:
    return int(sql.value(server, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))


def test_a_leader_that_writes_too_slowly_keeps_no_replay_stuck(
    postgres: sql.Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "_WRITES_WITHIN", 0.0)
    fault, before = ReplayStuck(led_by(postgres), "pg2", 512 * MEGABYTE), written(postgres)
    with pytest.raises(Inconclusive, match="the leader wrote only 0 MB of WAL in 0 s"):
        fault.inject()
    assert written(postgres) - before < 256 * MEGABYTE


def test_a_leader_that_removes_no_wal_gets_no_more_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed_wal, "MOST_WAL", 40 * MEGABYTE)
    with throw_away_postgres(tmp_path, free_port(), BINDIR, "wal_keep_size=4GB") as server:
        world: Any = SimpleNamespace(cluster=led_by(server), timing=Timing())
        with pytest.raises(Inconclusive, match="the leader keeps what pg2 needs, 32 MB of WAL later"):
            missed_wal.remove_what_it_needs(world, "pg2", written(server))


def test_an_archiver_that_takes_everything_gets_few_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "_FAILS_SLOWLY", "true")  # it neither fails nor is slow
    with throw_away_postgres(tmp_path, free_port(), BINDIR, "archive_mode=on", "archive_command=true") as server:
        fault, before = ArchivingFails(led_by(server)), written(server) // SEGMENT
        for _ in range(25):
            with suppress(NotYet):
                fault.require_in_effect()
            pause(0.1)
        assert 1 <= written(server) // SEGMENT - before <= 8
