"""What a power failure takes away: everything that was written to a directory and not synced.

The directory itself always holds the newest contents. Beside it, an undo log says how to return to what was synced. It
behaves as a journaling file system (ext4, XFS) does:

- The content and the size of a file survive as they were at its last fsync or fdatasync.
- Names (files created, renamed, removed) go through one journal, in order: a sync of any file or directory makes every
  earlier change of names durable. The content of a new file does not become durable by that.
- Permissions, owners and times survive at once.

No one calls fsync on the disk below: the machine that all this runs on does not lose its power.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

BLOCK = 8192
"""Bytes; what is written over is kept in blocks of this size, that of PostgreSQL's own pages."""


@dataclass(frozen=True)
class Lost:
    """What a power failure took away."""

    files: int
    """Files whose content or size was not the synced one."""
    kept: int
    """Bytes that were restored, as they had been written over or cut off."""
    names: int
    """Changes of names: files and directories created, renamed, or removed."""


@dataclass
class _File:
    """How a file returns to what was synced. `file` is open for reading and writing, whatever its name is now."""

    file: int
    size: int
    blocks: dict[int, bytes] = field(default_factory=dict)
    """Block number -> its synced content."""


@dataclass(frozen=True)
class _Renaming:
    """A change of names: how it is undone, and what remains to be done when it is durable."""

    undo: Callable[[], object]
    commit: Callable[[], object] | None = None


class Unsynced:
    """The undo log of one directory. Every change is recorded here before it is made; paths are absolute.

    Files are known by their inode number: names change.
    """

    def __init__(self, removed: Path) -> None:
        """`removed`: an existing empty directory on the same file system, for removed files that may have to return."""
        self._removed, self._serial = os.fsencode(removed), 0
        self._files: dict[int, _File] = {}
        self._names: list[_Renaming] = []

    def writing(self, inode: int, file: int, offset: int, length: int) -> None:
        """`length` bytes are about to be written at `offset`; `file` is open for reading and writing."""
        known = self._known(inode, file)
        end = min(offset + length, known.size)
        if offset < end:
            self._keep(known, offset, end)

    def resizing(self, inode: int, file: int, size: int) -> None:
        """The file is about to get that size."""
        known = self._known(inode, file)
        if size < known.size:
            self._keep(known, size, known.size)

    def synced(self, inode: int) -> None:
        """The file is durable as it is now, and so are all names."""
        if (known := self._files.pop(inode, None)) is not None:
            os.close(known.file)
        self.names_synced()

    def names_synced(self) -> None:
        """All names are durable as they are now."""
        for change in self._names:
            if change.commit:
                change.commit()
        self._names.clear()

    def created(self, path: bytes) -> None:
        """A file or a symbolic link was created."""
        self._names.append(_Renaming(partial(os.unlink, path)))

    def directory_created(self, path: bytes) -> None:
        """A directory was created."""
        self._names.append(_Renaming(partial(os.rmdir, path)))

    def remove(self, path: bytes) -> None:
        """Remove a file: take its name away, and keep it until that is durable. Raises OSError."""
        inode = os.lstat(path).st_ino
        self._serial += 1
        kept = os.path.join(self._removed, b"%d" % self._serial)
        os.rename(path, kept)
        self._names.append(_Renaming(partial(os.rename, kept, path), partial(self._forget, kept, inode)))

    def remove_directory(self, path: bytes) -> None:
        """Remove an empty directory. Raises OSError."""
        mode = os.lstat(path).st_mode
        os.rmdir(path)
        self._names.append(_Renaming(partial(_make_directory, path, mode)))

    def rename(self, old: bytes, new: bytes) -> None:
        """Give a file or directory another name, in place of what has that name now. Raises OSError."""
        before = len(self._names)
        if os.path.lexists(new):
            is_directory = os.path.isdir(new) and not os.path.islink(new)
            (self.remove_directory if is_directory else self.remove)(new)
        try:
            os.rename(old, new)
        except OSError:
            while len(self._names) > before:
                self._names.pop().undo()
            raise
        self._names.append(_Renaming(partial(os.rename, new, old)))

    def roll_back(self) -> Lost:
        """The power fails: return to what was synced. The log is empty afterwards."""
        changed = [one for one in self._files.values() if _restore(one)]
        lost = Lost(len(changed), sum(len(content) for one in changed for content in one.blocks.values()), 0)
        names = len(self._names)
        while self._names:
            self._names.pop().undo()
        self._close()
        return Lost(lost.files, lost.kept, names)

    def keep_all(self) -> None:
        """Everything stays as it is now: there was no power failure."""
        self.names_synced()
        self._close()

    def _known(self, inode: int, file: int) -> _File:
        known = self._files.get(inode)
        if known is None:
            known = self._files[inode] = _File(os.dup(file), os.fstat(file).st_size)
        return known

    @staticmethod
    def _keep(known: _File, start: int, end: int) -> None:
        for block in range(start // BLOCK, -(-end // BLOCK)):
            if block not in known.blocks:
                first = block * BLOCK
                known.blocks[block] = os.pread(known.file, min(BLOCK, known.size - first), first)

    def _forget(self, kept: bytes, inode: int) -> None:
        os.unlink(kept)
        if (known := self._files.pop(inode, None)) is not None:
            os.close(known.file)

    def _close(self) -> None:
        for one in self._files.values():
            os.close(one.file)
        self._files.clear()


def _restore(one: _File) -> bool:
    """Whether anything had to be restored."""
    changed = os.fstat(one.file).st_size != one.size
    for block, content in one.blocks.items():
        if changed or os.pread(one.file, len(content), block * BLOCK) != content:
            os.pwrite(one.file, content, block * BLOCK)
            changed = True
    os.ftruncate(one.file, one.size)
    return changed


def _make_directory(path: bytes, mode: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(path)
    os.chmod(path, mode & 0o7777)
