"""The suite's statements work with PostgreSQL 13, the oldest version that it supports."""

import re
from pathlib import Path

import pytest

from support.failover.missed_wal import _lsn

ROOT = Path(__file__).parents[1]
NEWER = {
    "pg_terminate_backend with a time to wait (14)": r"pg_terminate_backend\([^()]*,",
    "a number added to a pg_lsn (14)": r"pg_lsn\s*[+-]",
    "pg_stat_wal (14)": r"\bpg_stat_wal\b",
    "a function or procedure that is atomic (14)": r"\bBEGIN ATOMIC\b",
    "NULLS NOT DISTINCT (15)": r"\bNULLS NOT DISTINCT\b",
    "MERGE (15)": r"\bMERGE INTO\b",
}


@pytest.mark.parametrize("newer", NEWER)
def test_no_statement_needs_a_newer_server(newer: str) -> None:
    files = [*(ROOT / "support").rglob("*.py"), *(ROOT / "steps").rglob("*.py")]
    assert [str(file) for file in files if re.search(NEWER[newer], file.read_text(encoding="utf-8"))] == []


def test_a_position_is_written_as_postgresql_writes_it() -> None:
    assert [_lsn(one) for one in (0, 0x2000060, 0x1_0000_0000, 0x16_B374D848)] == [
        "0/0",
        "0/2000060",
        "1/0",
        "16/B374D848",
    ]
