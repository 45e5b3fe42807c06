"""The kernel's side of a file system in user space: the FUSE protocol, as far as a local passthrough needs it.

The kernel sends requests through an open /dev/fuse: a header, a structure of the operation, names. Every request but
a few gets one answer. No library is needed, neither libfuse nor fusermount: a process that may mount in its own user
namespace may mount FUSE there. The numbers and structures are those of linux/fuse.h, at version 7.31 of the protocol
(Linux 5.4); a newer kernel adapts to that.
Source: https://www.kernel.org/doc/html/latest/filesystems/fuse.html
"""

import errno
import os
import select
import stat
import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Protocol

from support.hosts import kernel
from support.waiting import describe

DEVICE = "/dev/fuse"
VERSION = (7, 31)
LARGEST_WRITE = 1 << 20
ROOT = 1
"""The number of the root's node."""
FOREVER = 1 << 30
"""Seconds for which the kernel may rely on names and attributes: only requests change them."""

_PAGE = 4096
_ASYNC_READ, _BIG_WRITES, _PARALLEL_DIRECTORIES, _MAX_PAGES = 1 << 0, 1 << 5, 1 << 18, 1 << 22
_WANTED = _ASYNC_READ | _BIG_WRITES | _PARALLEL_DIRECTORIES | _MAX_PAGES
_KEEP_CACHE = 1 << 1
_IN, _OUT = struct.Struct("<IIQQIIIHH"), struct.Struct("<IiQ")
_INIT_IN, _INIT_OUT = struct.Struct("<IIII"), struct.Struct("<IIIIHHIIHHII24x")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_ENTRY, _ATTRIBUTES_OUT, _OPENED = struct.Struct("<QQQQII"), struct.Struct("<QII"), struct.Struct("<QII")
_DIRECTORY_ENTRY = struct.Struct("<QQII")
_STATFS = struct.Struct("<QQQQQIIII24x")
_BILLION = 10**9
_SILENT_END = (errno.ENODEV, errno.ECONNABORTED)
_TRY_AGAIN = (errno.EINTR, errno.ENOENT)  # a request was interrupted before it could be read


class Operation(IntEnum):
    """The requests that a file system may answer. The kernel gets ENOSYS for all others, and does without them."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    CREATE = 35
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    FALLOCATE = 43
    RENAME2 = 45


UNANSWERED = frozenset({Operation.FORGET, Operation.BATCH_FORGET, Operation.INTERRUPT})

Handler = Callable[[int, memoryview], bytes | None]
"""Does what a request asks for: node number, the rest of the request -> the answer. Raises OSError to refuse it."""


class FileSystem(Protocol):
    """What answers requests."""

    def handlers(self) -> Mapping[Operation, Handler]:
        """The handler of each operation that it knows."""


@cache
def why_not_fuse() -> str | None:
    """What failed when a FUSE file system was mounted here in namespaces of its own; None when it works."""
    try:
        os.waitpid(kernel.fork_checked(_try), 0)
    except OSError as refused:
        return f"no FUSE file systems here: {describe(refused)}"
    return None


def _try() -> None:
    kernel.own_user_namespace(0, 0)
    kernel.unshare(kernel.NEW_MOUNT)
    kernel.keep_mounts_private()
    attach(open_device(), Path("/tmp"))


def open_device() -> int:
    """A connection with the kernel, for one mount. Raises OSError where there is no FUSE."""
    return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)


def attach(device: int, place: Path) -> None:
    """Mount the file system behind `device` at a directory of this mount namespace. Nobody need serve it yet.

    Every user may use it (`allow_other`): programs on a host live in a user namespace of their own.
    """
    options = f"fd={device},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0,allow_other,default_permissions"
    kernel.mount("fuse", str(place), options)


def serve(device: int, files: FileSystem, commands: int) -> None:
    """Answer requests until `commands` is readable, or until nobody can send requests any more."""
    handlers: dict[int, Handler] = {
        **{int(one): act for one, act in files.handlers().items()},
        Operation.INIT: _negotiate,
    }
    buffer = bytearray(LARGEST_WRITE + _PAGE)
    view = memoryview(buffer)
    waiting = select.poll()
    waiting.register(device, select.POLLIN)
    waiting.register(commands, select.POLLIN)
    while True:
        try:
            size = os.readv(device, [buffer])
        except BlockingIOError:
            if any(ready == commands for ready, _ in waiting.poll()):
                return
            continue
        except OSError as error:
            if error.errno in _TRY_AGAIN:
                continue
            if error.errno in _SILENT_END:
                return
            raise
        _, operation, serial, node, *_ = _IN.unpack_from(buffer)
        number, answer = 0, b""
        try:
            handler = handlers.get(operation)
            if handler is None:
                number = errno.ENOSYS
            else:
                answer = handler(node, view[_IN.size : size]) or b""
        except OSError as error:
            number, answer = error.errno or errno.EIO, b""
        if operation not in UNANSWERED:
            _answer(device, serial, number, answer)


def _answer(device: int, serial: int, number: int, answer: bytes) -> None:
    try:
        os.writev(device, [_OUT.pack(_OUT.size + len(answer), -number, serial), answer])
    except OSError as error:
        if error.errno not in (errno.ENOENT, *_SILENT_END):  # whoever asked has gone
            raise


def _negotiate(node: int, request: memoryview) -> bytes:
    """Agree on the version and on what both can do. An older kernel than ours would ignore what it does not know."""
    _, _, read_ahead, offered = _INIT_IN.unpack_from(request)
    pages = LARGEST_WRITE // _PAGE
    return _INIT_OUT.pack(*VERSION, read_ahead, offered & _WANTED, 64, 48, LARGEST_WRITE, 1, pages, 0, 0, 0)


def attributes(found: os.stat_result) -> bytes:
    """A file's attributes, as part of an answer."""
    times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    return _ATTRIBUTES.pack(
        *(found.st_ino, found.st_size, found.st_blocks),
        *(time // _BILLION for time in times),
        *(time % _BILLION for time in times),
        *(found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_rdev, found.st_blksize, 0),
    )


def attributes_answer(found: os.stat_result) -> bytes:
    """The answer to GETATTR and SETATTR."""
    return _ATTRIBUTES_OUT.pack(FOREVER, 0, 0) + attributes(found)


def entry_answer(node: int, found: os.stat_result) -> bytes:
    """The answer to LOOKUP and to whatever makes a name. The kernel holds the node until it sends FORGET."""
    return _ENTRY.pack(node, 0, FOREVER, FOREVER, 0, 0) + attributes(found)


def opened_answer(handle: int) -> bytes:
    """The answer to OPEN and OPENDIR. What the kernel has in its page cache remains valid."""
    return _OPENED.pack(handle, _KEEP_CACHE, 0)


def statfs_answer(found: os.statvfs_result) -> bytes:
    """The answer to STATFS."""
    return _STATFS.pack(
        *(found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree),
        *(found.f_bsize, found.f_namemax, found.f_frsize, 0),
    )


def directory_entry(inode: int, following: int, kind: int, name: bytes) -> bytes:
    """One entry in the answer to READDIR. `following` is the offset of the next one, `kind` is part of the mode."""
    entry = _DIRECTORY_ENTRY.pack(inode, following, len(name), kind >> 12) + name
    return entry + b"\0" * (-len(entry) % 8)
