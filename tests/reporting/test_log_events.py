"""Which lines of a log explain a failover, and when they were written."""

import time
from datetime import UTC, datetime

import pytest

from support.hosts.interface import Clock
from support.reporting.log_events import clock_of, is_notable, moment_of, notable, told

AT = datetime(2026, 11, 29, 6, 0, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-29 06:00:01,500 INFO: promoted self to leader by acquiring session lock",
        "2026-11-29 06:00:01.500 UTC [123] LOG:  received promote request",
        "2026-11-29T06:00:01.500Z etcd: elected leader 8e9e05c52164694d",
        '{"ts":"2026-11-29T06:00:01.500Z","msg":"lost leader"}',
    ],
)
def test_notable_lines_have_their_moment_with_its_fraction(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    assert is_notable(line)
    assert moment_of(line) == pytest.approx(AT + 0.5)


@pytest.mark.parametrize(
    ("line", "zone", "ahead"),
    [
        ("2026-11-29T07:00:01.500+01:00 h postgres: lost leader", None, 0),
        ('{"level":"info","ts":"2026-11-29T01:00:01.500-0500","msg":"lost leader"}', None, 0),
        ("2026-11-29 03:00:01.500 -03 [12] LOG:  lost leader", None, 0),
        ("2026-11-29 11:30:01.500+05:30 lost leader", 3600, 0),
        ("2026-11-29 07:00:01.500 CET [12] LOG:  lost leader", 3600, 0),
        ("2026-11-29 07:00:01,500 INFO: lost leader", 3600, 0),
        ("2026-11-29 07:00:01,500-4711 INFO lost leader", 3600, 0),
        ("2026-11-29 07:00:01,500-1200 INFO lost leader", 3600, 0),
        ("2026-11-29 07:00:01,500-7 INFO lost leader", 3600, 0),
        ("2026-11-29 07:00:01,500-10 INFO lost leader", 3600, 0),
        ("2026-11-29 07:00:01,500 - 10 INFO lost leader", 3600, 0),
        ("2026-11-29 07:00:01.500-1234 lost leader", 3600, 0),
        ("2026-11-29 07:00:01.500 -45 rows, lost leader", 3600, 0),
        ("2026-11-29 07:00:01.500+1500 lost leader", 3600, 0),
        ("2026-11-28T21:30:01.500-0830 lost leader", 3600, 0),
        ("2026-11-29 11:30:01.500 +0530 [12] LOG:  lost leader", 3600, 0),
        ("2026-11-29 07:00:01,500 +0100 lost leader", None, 0),
        ("2026-11-29 20:00:01.500 +14 [12] LOG:  lost leader", None, 0),
        ("2026-11-28 18:00:01.500 -12 [12] LOG:  lost leader", None, 0),
        ("2026-11-29 06:00:01.500 +00 [12] LOG:  lost leader", 3600, 0),
        ("2026-11-29 03:00:01.500 -03:10.0.0.7(4711):app@db: LOG:  lost leader", 3600, 0),
        ("7:M 29 Nov 2026 01:00:01.500 * lost leader", -18000, 0),
        ("2026-11-29 06:00:41.500 UTC [12] LOG:  lost leader", 3600, 40),
        ("2026-11-29 06:59:21,500 INFO: lost leader", 3600, -40),
    ],
)
def test_the_moment_is_that_of_the_hosts_clock(
    line: str, zone: float | None, ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment_of(line, Clock(zone, ahead)) == pytest.approx(AT + 0.5)
        assert [at for at, _ in notable([line], AT, AT + 1, Clock(zone, ahead))] == [pytest.approx(AT + 0.5)]
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("zone", [None, 3600, -43200])
@pytest.mark.parametrize(
    "line",
    [
        "2026-13-29 06:00:01 lost leader",
        "2026-11-31T06:00:01Z lost leader",
        "2026-11-29 25:00:01,500 lost leader",
        "0000-00-00 00:00:00 lost leader",
        "7:M 31 Feb 2026 01:00:01.500 * lost leader",
        "7:M 29 Nvo 2026 01:00:01.500 * lost leader",
        "٢٠٢٦-١١-٢٩ ٠٦:٠٠:٠١ lost leader",
        "lost leader",
        "",
    ],
)
def test_what_only_looks_like_a_date_is_none(line: str, zone: float | None) -> None:
    assert moment_of(line, Clock(zone)) is None
    assert list(notable([line], AT, AT + 1, Clock(zone))) == []


@pytest.mark.parametrize("year", ["0001", "9999"])
@pytest.mark.parametrize("zone", ["", "Z", "+14:00", " -12"])
def test_a_date_far_away_is_not_of_the_time_asked_for(year: str, zone: str) -> None:
    """Such as Go's zero, for a time that is not known."""
    for line in (f"{year}-01-01T00:00:00{zone} lost leader", f"{year}-12-31T23:59:59{zone} lost leader"):
        assert list(notable([line], AT, AT + 1)) == []


@pytest.mark.parametrize("clock", [Clock(), Clock(-18000.0, 2.5)])
def test_a_text_says_by_which_clock_its_logs_are_dated(clock: Clock) -> None:
    assert clock_of(f"{told(clock)}postgres.log\n2026-11-29 06:00:01 LOG") == clock


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-29 06:00:01,500 INFO: no action. I am (pg1), the leader with the lock",
        "2026-11-29 06:00:01.500 UTC [123] LOG:  checkpoint starting: time",
        "2026-11-29 06:00:01.500 UTC [123] FATAL:  the database system is starting up",
    ],
)
def test_routine_is_left_out(line: str) -> None:
    assert not is_notable(line)


_CSV = '2026-11-29 06:00:01.500 UTC,"app","db",135,"h:4711",67.87,1,"INSERT",2026-11-29 05:50:00 UTC,3/7,0,{},,,"psql"'
_JSON = '{{"timestamp":"2026-11-29 06:00:01.500 UTC","pid":135,"error_severity":"{}","state_code":"{}","message":"{}"}}'


@pytest.mark.parametrize(
    "line",
    [_CSV.format('PANIC,53100,"could not write ""x"""'), _JSON.format("PANIC", "53100", r"could not write \"x\"")],
    ids=["csvlog", "jsonlog"],
)
def test_lines_of_csvlog_and_jsonlog_are_understood(line: str) -> None:
    ((moment, words),) = notable([line], AT, AT + 5)
    assert moment == AT + 0.5
    assert words.startswith("PANIC:  could not write")


def test_what_is_routine_is_so_in_any_format() -> None:
    starting = "the database system is starting up"
    for line in (_CSV.format(f'FATAL,57P03,"{starting}"'), _JSON.format("FATAL", "57P03", starting)):
        assert not is_notable(line)
    assert not is_notable(_CSV.format('LOG,00000,"checkpoint starting: time"'))


def test_only_the_time_asked_for_and_without_the_date() -> None:
    lines = [
        "2026-11-29 06:00:01.500 UTC [123] LOG:  received promote request",
        "2026-11-29 06:00:09.500 UTC [123] LOG:  selected new timeline ID: 2",
        "selected new timeline ID: 3",
    ]
    assert [words for _, words in notable(lines, AT, AT + 5)] == ["LOG:  received promote request"]
