"""Alarms in the logs of servers: what must never happen, with the error behind it."""

import gettext
from pathlib import Path

import pytest

from support.engine.experiment import alarms_in
from support.hosts.processes import LogFile
from support.target.translations import NOT_READY

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


@pytest.mark.parametrize(
    "line", ["PANIK:  konnte Datei nicht schreiben", "2026-11-29 ПАНИКА:  не удалось", "손상:  쓰기 실패"]
)
def test_a_panic_is_one_in_any_language(line: str) -> None:
    assert alarms_in(f"LOG:  bereit\n{line}\n") == [line]


_CSV = (
    '2026-11-29 00:52:26.794 UTC,"app","db",135,"10.0.0.7:4711",6745a1.87,1,"INSERT",2026-11-29 00:50:00 UTC,3/7,0,'
    '{},53100,"could not write to file ""pg_wal/xlogtemp.135"": No space left on device",,,,,,,,,"app","client backend"'
)
_JSON = (
    '{{"timestamp":"2026-11-29 00:52:26.794 UTC","pid":135,"error_severity":"{}","state_code":"53100","message":"x"}}'
)


@pytest.mark.parametrize("line", [_CSV, _JSON], ids=["csvlog", "jsonlog"])
@pytest.mark.parametrize("word", ["PANIC", "PANIK", "ПАНИКА", "比致命错误还过分的错误"])
def test_a_panic_is_one_in_any_format_of_the_log(line: str, word: str) -> None:
    """csvlog is what Spilo writes."""
    assert alarms_in(f"{line.format('LOG')}\n{line.format(word)}\n") == [line.format(word)]
    assert alarms_in(line.format(word), expected=["No space left", '"message":"x"']) == []


@pytest.mark.parametrize(
    "line",
    [
        _CSV.format("LOG").replace("could not write", "SELECT 'a,PANIC,b'"),
        _JSON.format("LOG").replace('"x"', r'"he said \"error_severity\":\"PANIC\""'),
    ],
)
def test_a_statement_with_that_word_is_no_panic(line: str) -> None:
    assert alarms_in(line) == []


def catalogs() -> list[Path]:
    return sorted(Path("/usr/share/locale").glob("*/LC_MESSAGES/postgres-*.mo"))


@pytest.mark.skipif(not catalogs(), reason="PostgreSQL's catalogs of translations are not installed here")
def test_every_language_of_postgresql_is_understood() -> None:
    for catalog in catalogs():
        with catalog.open("rb") as file:
            told = gettext.GNUTranslations(file).gettext
        assert alarms_in(f"{told('PANIC')}:  could not write") != [], catalog
        for refusal in REFUSALS:
            assert NOT_READY.search(told(refusal)), (catalog, told(refusal))


REFUSALS = (
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "the database system is not yet accepting connections",
    "the database system is not accepting connections",
)
