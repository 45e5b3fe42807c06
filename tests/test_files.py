"""Files are replaced in one step, and those with secrets are their owner's alone at every moment."""

import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from full_disks import room_for
from program import ROOT

from support.files import locked, replace_file, write_private


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Others may read what is written, unless it is said otherwise."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("contents", ["new: é", "new: é".encode()])
def test_who_reads_a_file_gets_the_old_contents_or_the_new(tmp_path: Path, contents: str | bytes) -> None:
    path = tmp_path / "facts.json"
    replace_file(path, "old")
    with path.open() as reader:
        replace_file(path, contents)
        assert reader.read() == "old"
    assert path.read_text(encoding="utf-8") == "new: é"
    assert list(tmp_path.iterdir()) == [path]
    assert permissions(path) == 0o644


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    replace_file(path, "old")
    with room_for(100), pytest.raises(OSError, match="File too large"):
        replace_file(path, "new" * 100)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_beside_what_cannot_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(path, "new")
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_that_are_given_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    os.umask(0o077)
    replace_file(tmp_path / "metrics", "one 1\n", 0o644)
    assert permissions(tmp_path / "metrics") == 0o644


def test_who_could_read_the_old_file_cannot_read_a_secret_in_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text("none yet")
    with path.open() as reader:
        write_private(path, "secret")
        assert reader.read() == "none yet"
    assert (path.read_text(), permissions(path)) == ("secret", 0o600)


def test_a_secret_is_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, opened = list[int](), os.fdopen

    def looked(descriptor: int, *given: Any) -> Any:
        seen.append(os.fstat(descriptor).st_mode & 0o777)
        return opened(descriptor, *given)

    os.umask(0)
    monkeypatch.setattr(os, "fdopen", looked)
    write_private(tmp_path / "passwords", "secret")
    assert seen == [0o600], "before anything is written"


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as other:
        with locked(path), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_no_other_module_replaces_files_or_keeps_them_private_by_hand() -> None:
    by_hand = re.compile(r"os\.replace\(|with_suffix\(\"\.(?:tmp|new)\"\)|touch\(mode=0o600\)")
    found = {path.name for path in (ROOT / "support").rglob("*.py") if by_hand.search(path.read_text(encoding="utf-8"))}
    assert found == {"saturation.py"}, "it begins a file to which it adds lines"
