"""What is left of files and names after a power failure, for any sequence of changes and syncs."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from support.hosts.unsynced import BLOCK, Lost, Unsynced

SIZES = st.integers(0, 3 * BLOCK)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("ab"), SIZES, st.binary(min_size=1, max_size=64)),
        st.tuples(st.just("write"), st.sampled_from("ab"), SIZES, st.just(b"x" * 2 * BLOCK)),
        st.tuples(st.just("resize"), st.sampled_from("ab"), SIZES, st.just(b"")),
        st.tuples(st.just("sync"), st.sampled_from("ab"), st.just(0), st.just(b"")),
    ),
    max_size=20,
)
NAMES = st.lists(
    st.tuples(st.sampled_from(["create", "remove", "rename", "sync"]), *[st.sampled_from("abc")] * 2), max_size=20
)


@settings(deadline=None, max_examples=200)
@given(CHANGES)
def test_each_file_returns_to_its_content_at_its_own_last_sync(changes: list[tuple[str, str, int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        unsynced, place = _made_in(Path(directory))
        for name in "ab":
            (place / name).write_bytes(name.encode() * (BLOCK + 7))
        wanted = {name: (place / name).read_bytes() for name in "ab"}
        for kind, name, number, content in changes:
            file = os.open(place / name, os.O_RDWR)
            inode = os.fstat(file).st_ino
            if kind == "write":
                unsynced.writing(inode, file, number, len(content))
                os.pwrite(file, content, number)
            elif kind == "resize":
                unsynced.resizing(inode, file, number)
                os.ftruncate(file, number)
            else:
                unsynced.synced(inode)
                wanted[name] = (place / name).read_bytes()
            os.close(file)
        differing = sum((place / name).read_bytes() != wanted[name] for name in "ab")
        assert unsynced.roll_back().files == differing
        assert {name: (place / name).read_bytes() for name in "ab"} == wanted


@settings(deadline=None, max_examples=200)
@given(NAMES)
def test_names_return_to_those_of_the_last_sync_of_anything(changes: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        unsynced, place = _made_in(Path(directory))
        wanted = _contents(place)
        for number, (kind, one, other) in enumerate(changes):
            path, there = os.fsencode(place / one), (place / one).exists()
            if kind == "create" and not there:
                (place / one).write_text(str(number))
                unsynced.created(path)
            elif kind == "remove" and there:
                unsynced.remove(path)
            elif kind == "rename" and there and one != other:
                unsynced.rename(path, os.fsencode(place / other))
            elif kind == "sync":
                unsynced.names_synced()
                wanted = _contents(place)
        unsynced.roll_back()
        assert _contents(place) == wanted
        assert unsynced.roll_back() == Lost(0, 0, 0)
        assert list((Path(directory) / "removed").iterdir()) == []


def test_a_refused_renaming_changes_nothing(tmp_path: Path) -> None:
    unsynced, place = _made_in(tmp_path)
    (place / "directory").mkdir()
    (place / "file").touch()
    try:
        unsynced.rename(os.fsencode(place / "directory"), os.fsencode(place / "file" / "below"))
    except OSError:
        assert sorted(one.name for one in place.iterdir()) == ["directory", "file"]
    assert unsynced.roll_back() == Lost(0, 0, 0)


def _made_in(directory: Path) -> tuple[Unsynced, Path]:
    removed, place = directory / "removed", directory / "place"
    removed.mkdir()
    place.mkdir()
    return Unsynced(removed), place


def _contents(place: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in place.iterdir()}
