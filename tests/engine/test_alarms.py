"""Alarms in the logs of servers: what must never happen, with the error behind it."""

from pathlib import Path

from support.engine.experiment import alarms_in
from support.hosts.processes import LogFile

LOG = """\
LOG:  database system is ready to accept connections
OSError: [Errno 28] No space left on device
2026-11-29 00:52:26,794 patroni INFO: Unexpected exception raised, please report it as a BUG
PANIC:  could not write to file "pg_wal/xlogtemp.135": No space left on device
"""


def test_an_alarm_of_patroni_names_the_error_behind_it() -> None:
    bug, panic = alarms_in(LOG)
    assert bug.startswith("OSError: [Errno 28] No space left on device: ")
    assert panic.startswith("PANIC:")


def test_words_that_are_expected_excuse_their_own_line_only() -> None:
    (bug,) = alarms_in(LOG, expected=["No space left on device"])
    assert bug.endswith("please report it as a BUG")


def test_only_what_was_logged_since_counts(tmp_path: Path) -> None:
    log = tmp_path / "patroni.log"
    log.write_text(LOG)
    written = LogFile(log)
    assert alarms_in(written.since("")) != []
    assert alarms_in(written.since(written.end())) == []
