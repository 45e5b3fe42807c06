"""What the program prints when it fails unexpectedly, and the status with which it ends."""

from pathlib import Path

import pytest

from support.cli.console import UNEXPECTED, exit_status_of


def _fail() -> int:
    raise LookupError("no such moon")


def _told(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_an_unexpected_error_is_told_and_its_traceback_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_status_of(_fail) == UNEXPECTED
    (log,) = tmp_path.glob(".accept/crash-*.log")
    assert "in _fail" in log.read_text()
    assert _told(capsys).endswith(f"LookupError: no such moon; the traceback is in .accept/{log.name}")


def test_an_unexpected_error_where_nothing_can_be_written_is_no_broken_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the place of the folder is a file. Python would end a program that cannot go on with 1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".accept").touch()
    assert exit_status_of(_fail) == UNEXPECTED
    assert "LookupError: no such moon; the traceback cannot be written: [Errno 17] File exists" in _told(capsys)
