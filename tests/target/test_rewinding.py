"""Which members could not be rewound: what they show of their settings, and what their silence means."""

import pytest

from support.errors import Inconclusive
from support.target.members import NoAnswer
from support.target.rewinding import without_hint_bits

HINTS = {"wal_log_hints": "on", "data_checksums": "off"}
CHECKSUMS = {"wal_log_hints": "off", "data_checksums": "on"}
NEITHER = {"wal_log_hints": "off", "data_checksums": "off"}
SILENT = NoAnswer("pg_hba.conf rejects the connection")


def test_either_setting_will_do() -> None:
    assert without_hint_bits({"m1": HINTS, "m2": CHECKSUMS}) == []


def test_neither() -> None:
    expected = ["m2: wal_log_hints is off, data_checksums is off"]
    assert without_hint_bits({"m1": HINTS, "m2": NEITHER}) == expected
    assert without_hint_bits({"m1": SILENT, "m2": NEITHER}) == expected


def test_a_silent_member_may_be_rewindable() -> None:
    with pytest.raises(Inconclusive, match=r"not every member shows its settings: m2: no answer \(pg_hba"):
        without_hint_bits({"m1": HINTS, "m2": SILENT})
