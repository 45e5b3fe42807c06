"""What PostgreSQL's own files show about a member that came back: rewound by a real pg_rewind, or copied."""

import subprocess
from pathlib import Path

from conftest import free_port
from servers import BINDIR, PASSWORD, as_postgres, postgres, started

from support import sql
from support.failover.checks import rewound_not_copied
from support.failover.rewinding import told
from support.waiting import NotYet, eventually


def run(*command: str | Path) -> None:
    subprocess.run(as_postgres(*command), check=True, capture_output=True)


def at(server: sql.Endpoint) -> str:
    return f"host=127.0.0.1 port={server.port} user=postgres password={PASSWORD} dbname=postgres"


def test_servers_tell_whether_they_were_rewound_or_copied(tmp_path: Path) -> None:
    former, successor = tmp_path / "former", tmp_path / "successor"
    former.mkdir()
    successor.mkdir()
    kept = ("wal_log_hints=on", "wal_keep_size=128MB", "standard_conforming_strings=off")
    with postgres(former, free_port(), BINDIR, *kept) as server:
        assert rewound_not_copied(told("former", server, 0)).holds is None  # neither, nor anything else
        copy = ["-D", successor / "data", "--checkpoint=fast", "--no-sync", "--write-recovery-conf"]
        run(BINDIR / "pg_basebackup", "-d", at(server), *copy)
        with started(successor, free_port(), BINDIR, *kept) as promoted:
            assert told("successor", promoted, 0).method == "streamed"
            assert rewound_not_copied(told("successor", promoted, 0)).holds is False

            def streams() -> None:
                if not sql.value(server, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"):
                    raise NotYet("it does not")

            eventually(streams, within=20, subject="the copy streams")
            sql.execute(promoted, "SELECT pg_promote()")
            sql.execute(promoted, "CHECKPOINT")
            sql.execute(server, "CREATE TABLE of_the_former_leader ()")
    with started(successor, free_port(), BINDIR, *kept) as promoted:
        run(BINDIR / "pg_rewind", "-D", former / "data", "--source-server", at(promoted))
        (former / "data" / "standby.signal").touch()
        with started(former, free_port(), BINDIR, *kept, f"primary_conninfo={at(promoted)}") as rewound:
            assert rewound_not_copied(told("former", rewound, 0)).holds is None  # nothing since so recent a fault
            finding = told("former", rewound, 0)
            assert finding.method == "pg_rewind"
            assert finding.recovered < finding.age
            assert rewound_not_copied(told("former", rewound, (finding.recovered + finding.age) / 2)).holds is True
