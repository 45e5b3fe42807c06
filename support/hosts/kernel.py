"""The Linux calls that Python 3.11 lacks: namespaces, mounts, and what a process asks of the kernel for itself."""

import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from support.waiting import describe

NEW_MOUNT, NEW_UTS, NEW_IPC = 0x00020000, 0x04000000, 0x08000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
OWN_MACHINE = NEW_MOUNT | NEW_UTS | NEW_IPC | NEW_PID | NEW_NET  # all that a machine has of its own
MACHINE_SPACES = ("net", "uts", "ipc", "pid", "mnt")  # the same, as /proc/<pid>/ns names them
_PARENT_DEATH_SIGNAL, _NAME, _SUBREAPER = 1, 15, 36
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_OFTEN_CHANGED = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ),
)
_FAILED = "failed: "

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(spaces: int) -> None:
    """Leave the namespaces named by the flags for new ones. Raises OSError."""
    _checked(_libc.unshare(spaces), "unshare")


def join(pid: int) -> None:
    """Enter the machine of `pid`: all its namespaces but the user's. Its pids are for later children only."""
    files = [os.open(f"/proc/{pid}/ns/{space}", os.O_RDONLY | os.O_CLOEXEC) for space in MACHINE_SPACES]
    for file in files:
        _checked(_libc.setns(file, 0), f"setns to process {pid}")
        os.close(file)


def own_user_namespace(user: int, group: int) -> None:
    """Enter a new user namespace, known there as `user` and `group`; what one owns stays one's own."""
    outer_user, outer_group = os.geteuid(), os.getegid()
    unshare(NEW_USER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {outer_user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {outer_group} 1")


def mount(kind: str, target: str, options: str = "") -> None:
    """Mount a file system of one's own (proc, tmpfs) at `target`."""
    _mount(kind, target, kind, 0, options)


def bind(source: Path, target: str) -> None:
    """Show the file `source` at `target`, where there is a file to cover."""
    if os.path.exists(target):
        _mount(str(source), target, None, _BIND, "")


def keep_mounts_private() -> None:
    """What is mounted from now on is seen in this mount namespace only."""
    _mount(None, "/", None, _RECURSIVE | _PRIVATE, "")


def set_hostname(name: str) -> None:
    """Name the machine of this UTS namespace."""
    _checked(_libc.sethostname(name.encode(), len(name)), "sethostname")


def die_with_parent() -> None:
    """Be killed when the thread that forked this process ends. (A parent dead already is the caller's to see.)"""
    _libc.prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)


def become_subreaper() -> None:
    """Become the parent of every orphan among the descendants."""
    _libc.prctl(_SUBREAPER, 1, 0, 0, 0)


def set_name(name: str) -> None:
    """What ps and top call this process (15 characters)."""
    _libc.prctl(_NAME, name.encode(), 0, 0, 0)


def fork(act: Callable[[], object]) -> int:
    """Fork a child that does `act` and ends; what it raises goes to standard error. Returns its pid."""
    return os.fork() or _do(act, tell=2)


def stand_alone(name: str, keep: Sequence[int]) -> None:
    """Make this freshly forked process one of its own: session, name, signals, and only the files to `keep`."""
    set_name(name)
    os.setsid()
    usual_signals()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # it is Python still: an OSError is wanted
    close_all_but(keep)


def usual_signals() -> None:
    """Handle signals as a new program does, whatever the parent did."""
    signal.set_wakeup_fd(-1)
    for number in _OFTEN_CHANGED:
        signal.signal(number, signal.SIG_DFL)


def close_all_but(kept: Sequence[int]) -> None:
    """Close every file except the standard ones and those."""
    for file in map(int, os.listdir("/proc/self/fd")):
        if file > 2 and file not in kept:
            with suppress(OSError):  # the listing itself was one
                os.close(file)


def fork_told(act: Callable[[], object]) -> int:
    """Fork a child that does `act` and ends, or becomes another program; wait until it has done either.

    Returns its pid. Raises OSError with its own words when it failed.
    """
    return _heard(lambda tell: os.fork() or _do(act, tell))[0]


def fork_across(enter: Callable[[], object], act: Callable[[], object]) -> int:
    """The same in two steps: a child enters other namespaces, and the child of that child does `act` in them.

    (A new or joined PID namespace is for children only.) The one between ends at once, and the other becomes a
    child of this process, if this is the reaper. Returns its pid as seen here.
    """

    def cross(tell: int) -> None:
        enter()
        pid = os.fork() or _do(act, tell)
        os.write(tell, f"pid {pid}\n".encode())

    between, said = _heard(lambda tell: os.fork() or _do(lambda: cross(tell), tell))
    os.waitpid(between, 0)
    return int(said.split()[1])


def _heard(fork: Callable[[int], int]) -> tuple[int, str]:
    """Fork children that hold the pipe given to them; hear what they say until all have closed it."""
    hear, tell = os.pipe()
    pid = fork(tell)
    os.close(tell)
    with open(hear, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read()
    if _FAILED in said:
        os.waitpid(pid, 0)
        raise OSError(said.partition(_FAILED)[2].strip())
    return pid, said


def _do(act: Callable[[], object], tell: int) -> NoReturn:
    status = 1
    try:
        act()
        status = 0
    except BaseException as error:
        os.write(tell, f"{_FAILED}{describe(error)}\n".encode())
    finally:
        os._exit(status)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str) -> None:
    words = [word.encode() if word else None for word in (source, target, kind)]
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
