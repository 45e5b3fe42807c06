"""A directory of a host on a disk with a volatile cache: when the power fails, what was not synced is lost.

Killing a host's processes does not lose what the kernel has in its page cache; a power failure does. So a directory can
be mounted on itself through a file system of our own, which passes everything through and remembers what it would take
to return to what was synced (`unsynced`). One process serves it for each time that the host is on. That process is no
part of the host: it outlives the host's processes, and ends with the sandbox.
"""

import errno
import gc
import json
import os
import resource
import shutil
import socket
import stat
import struct
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from support.errors import ProcessFailed
from support.hosts import fuse, kernel
from support.hosts.fuse import Handler, Operation
from support.hosts.unsynced import Lost, Unsynced
from support.waiting import describe

LOSE = b"lose"
"""The command that rolls back."""
ROLLED_BACK_WITHIN = 30.0
"""Seconds; less than a caller waits for the supervisor, which does nothing else meanwhile."""
_OPEN_FILES = 1 << 16
_BYTES, _FLAGS_NEW, _SIZE = struct.Struct("<IIII"), struct.Struct("<QII"), struct.Struct("<II")
_FORGET, _FORGET_MANY = struct.Struct("<Q"), struct.Struct("<II")
_SETATTR = struct.Struct("<IIQQQQQQIIIIIII4x")
_READ_WRITE, _FALLOCATE = struct.Struct("<QQIIQII"), struct.Struct("<QQQI4x")
_MODE, _OWNER, _GROUP, _LENGTH, _ACCESSED, _MODIFIED, _ACCESSED_NOW, _MODIFIED_NOW = 1, 2, 4, 8, 16, 32, 128, 256
_BILLION = 10**9


class VolatileDisk:
    """The supervisor's control over one directory of a host while the host is on, and until it is on again."""

    def __init__(self, place: Path, log: Path) -> None:
        self.place, self._log = place, log
        self.wanted = True
        """Whether to mount it again at the next power-on."""
        self._commands: socket.socket | None = None

    @property
    def mounted(self) -> bool:
        """Whether it was mounted since it last lost anything; if so, it can lose something now."""
        return self._commands is not None

    def begin(self, host: int) -> None:
        """Mount it in the mount namespace of process `host`, and serve it. Raises OSError."""
        self.end()
        # Each time another one: the process that served it before may still be tidying up.
        removed = Path(tempfile.mkdtemp(prefix=f"{self.place.name}.removed.", dir=self.place.parent))
        device = fuse.open_device()
        ours, theirs = socket.socketpair()
        try:
            kernel.fork_across(lambda: kernel.join(host), lambda: fuse.attach(device, self.place))
            kernel.fork(lambda: self._run(device, theirs.fileno(), removed))
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(device)
            theirs.close()
        ours.settimeout(ROLLED_BACK_WITHIN)
        self._commands = ours

    def lose(self) -> Lost:
        """Take away what was not synced. The host must be off.

        Raises ProcessFailed if the process that knows what was synced has ended.
        """
        assert self._commands is not None, "it is not mounted"
        try:
            self._commands.sendall(LOSE)
            with self._commands.makefile("rb") as answer:
                said = answer.readline()
        except OSError as error:
            raise ProcessFailed(self._no_answer(describe(error))) from error
        finally:
            self.end()
        if not said:
            raise ProcessFailed(self._no_answer("it has ended"))
        return Lost(**json.loads(said))

    def _no_answer(self, why: str) -> str:
        return f"the file system of {self.place} does not answer ({why}); see {self._log}"

    def end(self) -> None:
        """Everything stays as it is, and its process ends. Harmless when repeated."""
        if self._commands is not None:
            self._commands.close()
            self._commands = None

    def _run(self, device: int, commands: int, removed: Path) -> None:
        kernel.stand_alone("accept-disk", keep=[device, commands])
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 2)
        gc.freeze()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, most), most))
        os.umask(0)
        unsynced = Unsynced(removed)
        fuse.serve(device, PassThrough(self.place, unsynced), commands)
        os.close(device)  # from now on nobody can change anything
        if os.read(commands, len(LOSE)) == LOSE:
            lost = unsynced.roll_back()
            os.write(commands, json.dumps(asdict(lost)).encode() + b"\n")
        else:
            unsynced.keep_all()
        shutil.rmtree(removed, ignore_errors=True)


class _Node:
    """A file or directory that the kernel knows. Its path follows from its parents, as any of them may be renamed."""

    __slots__ = ("children", "entries", "file", "inode", "lookups", "name", "number", "openings", "parent")

    def __init__(self, number: int, parent: "_Node | None", name: bytes, inode: int) -> None:
        self.number, self.parent, self.name, self.inode = number, parent, name, inode
        self.children: dict[bytes, _Node] = {}
        self.lookups = self.openings = 0
        self.file: int | None = None
        """Open for reading and writing while anybody has the file open."""
        self.entries: list[tuple[int, int, bytes]] = []
        """The entries of a directory that is being read: inode, mode, name."""


class PassThrough:
    """Answers requests from an existing directory, and tells the undo log of each change first.

    Hard links are refused: PostgreSQL needs none since version 16.
    """

    def __init__(self, directory: Path, unsynced: Unsynced) -> None:
        self._top, self._unsynced = os.fsencode(directory), unsynced
        root = _Node(fuse.ROOT, None, b"", os.stat(directory).st_ino)
        self._nodes = {fuse.ROOT: root}
        self._last = fuse.ROOT

    def handlers(self) -> Mapping[Operation, Handler]:
        """See FileSystem."""
        names: dict[Operation, Handler] = {
            Operation.LOOKUP: lambda node, rest: self._entry(self._nodes[node], _name(rest)),
            Operation.FORGET: lambda node, rest: self._forget(node, *_FORGET.unpack_from(rest)),
            Operation.BATCH_FORGET: self._forget_many,
            Operation.READLINK: lambda node, rest: os.readlink(self._path(self._nodes[node])),
            Operation.SYMLINK: self._symlink,
            Operation.MKNOD: self._make_special,
            Operation.MKDIR: self._make_directory,
            Operation.UNLINK: self._remove,
            Operation.RMDIR: self._remove_directory,
            Operation.RENAME: lambda node, rest: self._rename(node, rest[8:], *_FORGET.unpack_from(rest)),
            Operation.RENAME2: self._rename_specially,
            Operation.LINK: _refuse,
            Operation.OPENDIR: lambda node, rest: fuse.opened_answer(0),
            Operation.READDIR: self._read_directory,
            Operation.RELEASEDIR: lambda node, rest: None,
            Operation.FSYNCDIR: lambda node, rest: self._unsynced.names_synced(),
            Operation.STATFS: lambda node, rest: fuse.statfs_answer(os.statvfs(self._top)),
        }
        contents: dict[Operation, Handler] = {
            Operation.GETATTR: lambda node, rest: fuse.attributes_answer(self._stat(self._nodes[node])),
            Operation.SETATTR: self._set_attributes,
            Operation.CREATE: self._create,
            Operation.OPEN: self._open,
            Operation.READ: self._read,
            Operation.WRITE: self._write,
            Operation.FALLOCATE: self._allocate,
            Operation.FSYNC: lambda node, rest: self._unsynced.synced(self._nodes[node].inode),
            Operation.RELEASE: self._release,
            Operation.INTERRUPT: lambda node, rest: None,
            Operation.DESTROY: lambda node, rest: None,
        }
        return names | contents

    # Nodes and names

    def _path(self, node: _Node) -> bytes:
        parts = []
        while node.parent is not None:
            parts.append(node.name)
            node = node.parent
        if node.number != fuse.ROOT:
            raise FileNotFoundError(errno.ENOENT, "it was removed")
        return b"/".join([self._top, *reversed(parts)])

    def _entry(self, parent: _Node, name: bytes) -> bytes:
        """Find or make the node of a name; the kernel holds it once more."""
        found = os.lstat(_below(self._path(parent), name))
        node = parent.children.get(name)
        if node is None:
            self._last += 1
            node = _Node(self._last, parent, name, found.st_ino)
            self._nodes[node.number] = parent.children[name] = node
        node.lookups += 1
        return fuse.entry_answer(node.number, found)

    def _forget(self, number: int, times: int) -> None:
        node = self._nodes.get(number)
        if node is not None:
            node.lookups -= times
            self._prune(node)

    def _forget_many(self, _: int, rest: memoryview) -> None:
        count, _padding = _FORGET_MANY.unpack_from(rest)
        one = struct.Struct("<QQ")
        for number, times in one.iter_unpack(rest[_FORGET_MANY.size : _FORGET_MANY.size + count * one.size]):
            self._forget(number, times)

    def _prune(self, node: _Node | None) -> None:
        """Forget a node that neither the kernel nor any node below it needs, and then its parent likewise."""
        while node is not None and node.number != fuse.ROOT:
            if node.lookups > 0 or node.children or node.openings:
                return
            self._nodes.pop(node.number, None)
            parent = node.parent
            self._detach(node)
            node = parent

    @staticmethod
    def _detach(node: _Node | None) -> None:
        """Its name is gone; who has it open can still use it."""
        if node is not None and node.parent is not None:
            del node.parent.children[node.name]
            node.parent = None

    def _symlink(self, number: int, rest: memoryview) -> bytes:
        name, target, _ = bytes(rest).split(b"\0", 2)
        parent = self._nodes[number]
        path = _below(self._path(parent), name)
        os.symlink(target, path)
        self._unsynced.created(path)
        return self._entry(parent, name)

    def _make_special(self, number: int, rest: memoryview) -> bytes:
        mode, device, _, _ = _BYTES.unpack_from(rest)
        parent, name = self._nodes[number], _name(rest[_BYTES.size :])
        path = _below(self._path(parent), name)
        os.mknod(path, mode, device)
        self._unsynced.created(path)
        return self._entry(parent, name)

    def _make_directory(self, number: int, rest: memoryview) -> bytes:
        mode, _ = _SIZE.unpack_from(rest)
        parent, name = self._nodes[number], _name(rest[_SIZE.size :])
        path = _below(self._path(parent), name)
        os.mkdir(path, mode)
        self._unsynced.directory_created(path)
        return self._entry(parent, name)

    def _remove(self, number: int, rest: memoryview) -> None:
        parent, name = self._nodes[number], _name(rest)
        self._unsynced.remove(_below(self._path(parent), name))
        self._detach(parent.children.get(name))

    def _remove_directory(self, number: int, rest: memoryview) -> None:
        parent, name = self._nodes[number], _name(rest)
        self._unsynced.remove_directory(_below(self._path(parent), name))
        self._detach(parent.children.get(name))

    def _rename_specially(self, number: int, rest: memoryview) -> None:
        target, flags, _ = _FLAGS_NEW.unpack_from(rest)
        if flags:
            raise OSError(errno.EINVAL, "rename with flags")
        self._rename(number, rest[_FLAGS_NEW.size :], target)

    def _rename(self, number: int, names: memoryview, target: int) -> None:
        old, new, _ = bytes(names).split(b"\0", 2)
        source, goal = self._nodes[number], self._nodes[target]
        self._unsynced.rename(_below(self._path(source), old), _below(self._path(goal), new))
        self._detach(goal.children.get(new))
        if (node := source.children.pop(old, None)) is not None:
            node.parent, node.name = goal, new
            goal.children[new] = node

    def _read_directory(self, number: int, rest: memoryview) -> bytes:
        _, offset, size, *_ = _READ_WRITE.unpack_from(rest)
        node = self._nodes[number]
        if offset == 0:
            with os.scandir(self._path(node)) as found:
                node.entries = [(one.inode(), one.stat(follow_symlinks=False).st_mode, one.name) for one in found]
        answer = b""
        for following, (inode, mode, name) in enumerate(node.entries[offset:], offset + 1):
            entry = fuse.directory_entry(inode, following, stat.S_IFMT(mode), name)
            if len(answer) + len(entry) > size:
                break
            answer += entry
        return answer

    # Contents and attributes

    def _stat(self, node: _Node) -> os.stat_result:
        return os.fstat(node.file) if node.file is not None else os.lstat(self._path(node))

    def _opened(self, node: _Node) -> int:
        if node.file is None:
            node.file = os.open(self._path(node), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        node.openings += 1
        return node.file

    def _closed(self, node: _Node) -> None:
        node.openings -= 1
        if not node.openings and node.file is not None:
            os.close(node.file)
            node.file = None

    def _open(self, number: int, _: memoryview) -> bytes:
        self._opened(self._nodes[number])
        return fuse.opened_answer(number)

    def _create(self, number: int, rest: memoryview) -> bytes:
        _, mode, _, _ = _BYTES.unpack_from(rest)
        parent, name = self._nodes[number], _name(rest[_BYTES.size :])
        path = _below(self._path(parent), name)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode & 0o7777)
        self._unsynced.created(path)
        entry = self._entry(parent, name)
        node = parent.children[name]
        node.file, node.openings = file, node.openings + 1
        return entry + fuse.opened_answer(node.number)

    def _release(self, number: int, _: memoryview) -> None:
        node = self._nodes[number]
        self._closed(node)
        self._prune(node)

    def _read(self, number: int, rest: memoryview) -> bytes:
        _, offset, size, *_ = _READ_WRITE.unpack_from(rest)
        file = self._nodes[number].file
        assert file is not None
        return os.pread(file, size, offset)

    def _write(self, number: int, rest: memoryview) -> bytes:
        _, offset, size, *_ = _READ_WRITE.unpack_from(rest)
        node = self._nodes[number]
        assert node.file is not None
        self._unsynced.writing(node.inode, node.file, offset, size)
        written = os.pwrite(node.file, rest[_READ_WRITE.size : _READ_WRITE.size + size], offset)
        return _SIZE.pack(written, 0)

    def _allocate(self, number: int, rest: memoryview) -> None:
        """Only what extends a file; the kernel gets EOPNOTSUPP for holes and the like."""
        _, offset, length, mode = _FALLOCATE.unpack_from(rest)
        node = self._nodes[number]
        if mode:
            raise OSError(errno.EOPNOTSUPP, "fallocate with flags")
        assert node.file is not None
        self._unsynced.writing(node.inode, node.file, offset, 0)
        os.posix_fallocate(node.file, offset, length)

    def _set_attributes(self, number: int, rest: memoryview) -> bytes:
        valid, _, _, size, _, accessed, modified, _, accessed_ns, modified_ns, _, mode, _, user, group = (
            _SETATTR.unpack_from(rest)
        )
        node = self._nodes[number]
        if valid & _LENGTH:
            file = self._opened(node)
            try:
                self._unsynced.resizing(node.inode, file, size)
                os.ftruncate(file, size)
            finally:
                self._closed(node)
        target = node.file if node.file is not None else self._path(node)
        follow = node.file is not None
        if valid & (_OWNER | _GROUP):
            os.chown(target, user if valid & _OWNER else -1, group if valid & _GROUP else -1, follow_symlinks=follow)
        if valid & _MODE:
            os.chmod(target, mode & 0o7777)
        if valid & (_ACCESSED | _MODIFIED):
            known, now = self._stat(node), time.time_ns()
            times = [
                (now if valid & at_once else given) if valid & wanted else kept
                for wanted, at_once, given, kept in (
                    (_ACCESSED, _ACCESSED_NOW, accessed * _BILLION + accessed_ns, known.st_atime_ns),
                    (_MODIFIED, _MODIFIED_NOW, modified * _BILLION + modified_ns, known.st_mtime_ns),
                )
            ]
            os.utime(target, ns=(times[0], times[1]), follow_symlinks=follow)
        return fuse.attributes_answer(self._stat(node))


def _below(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name


def _name(rest: memoryview) -> bytes:
    return bytes(rest).partition(b"\0")[0]


def _refuse(node: int, rest: memoryview) -> None:
    raise OSError(errno.EPERM, "there are no hard links here")
