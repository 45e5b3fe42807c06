"""Which lines of a log explain a failover, and when they were written."""

from datetime import UTC, datetime

import pytest

from support.reporting.log_events import is_notable, moment_of, notable

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
    "line",
    [
        "2026-11-29 06:00:01,500 INFO: no action. I am (pg1), the leader with the lock",
        "2026-11-29 06:00:01.500 UTC [123] LOG:  checkpoint starting: time",
        "2026-11-29 06:00:01.500 UTC [123] FATAL:  the database system is starting up",
    ],
)
def test_routine_is_left_out(line: str) -> None:
    assert not is_notable(line)


def test_only_the_time_asked_for_and_without_the_date() -> None:
    lines = [
        "2026-11-29 06:00:01.500 UTC [123] LOG:  received promote request",
        "2026-11-29 06:00:09.500 UTC [123] LOG:  selected new timeline ID: 2",
        "selected new timeline ID: 3",
    ]
    assert [words for _, words in notable(lines, AT, AT + 5)] == ["LOG:  received promote request"]
