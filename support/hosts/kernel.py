"""Linux calls that Python 3.11 lacks (namespaces, mounts, process settings), and a probe for what works here."""

import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from support.waiting import describe

NEW_MOUNT, NEW_UTS, NEW_IPC = 0x00020000, 0x04000000, 0x08000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
OWN_MACHINE = NEW_MOUNT | NEW_UTS | NEW_IPC | NEW_PID | NEW_NET  # everything that makes a machine of its own
MACHINE_SPACES = ("net", "uts", "ipc", "pid", "mnt")  # the same, as /proc/<pid>/ns names them

NAMESPACES, LOOPBACK = "namespaces", "loopback"  # the kinds of sandbox
FORBIDDING = (  # a kernel setting, the value that forbids namespaces, and one that allows them
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "10000"),
)
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")

_PARENT_DEATH_SIGNAL, _NAME, _SUBREAPER = 1, 15, 36
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_OFTEN_CHANGED = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    *(signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ),
)
_FAILED = "failed: "

_libc = ctypes.CDLL(None, use_errno=True)


def probe() -> str:
    """The best kind of sandbox that works here: "namespaces", else "loopback". Takes milliseconds."""
    return LOOPBACK if why_not_namespaces() else NAMESPACES


@cache
def why_not_namespaces() -> str | None:
    """What failed when namespaces were tried here, and what may help; None when they work.

    It really tries: AppArmor may allow the namespaces and then refuse everything inside; a container may hide /proc.
    """
    netlink().close()  # imported once here, it need not be imported in every process forked later
    try:
        os.waitpid(fork_checked(_try_namespaces), 0)
    except OSError as refused:
        return f"no namespaces here: {describe(refused)}{_advice()}"
    return None


def _try_namespaces() -> None:
    own_user_namespace(0, 0)
    unshare(OWN_MACHINE)
    os.waitpid(fork_checked(_try_machine), 0)


def _try_machine() -> None:
    keep_mounts_private()
    mount("proc", "/proc")
    mount("tmpfs", "/dev/shm")
    with netlink() as kernel:
        kernel.link("add", ifname="probe", kind="veth", peer={"ifname": "probed"})
    own_user_namespace(1000, 1000)


def _advice() -> str:
    """What the user can change, where the cause is a known one."""
    for setting, forbids, allows in FORBIDDING:
        file = Path("/proc/sys", *setting.split("."))
        if file.exists() and file.read_text().strip() == forbids:
            return f"; to allow them: sudo sysctl {setting}={allows}"
    if any(map(os.path.exists, CONTAINER_MARKS)):
        return "; to allow them start the container with --privileged"
    return ""


def netlink() -> Any:
    """An IPRoute: a connection to the kernel about this network namespace.

    The package takes a tenth of a second to import, so only processes that use it pay for that.
    """
    from pyroute2 import IPRoute

    return IPRoute()


def unshare(spaces: int) -> None:
    """Leave the namespaces named by the flags for new ones. Raises OSError."""
    _checked(_libc.unshare(spaces), "unshare")


def join(pid: int) -> None:
    """Enter all namespaces of `pid` except the user namespace. Its PID namespace applies to later children only."""
    files = [os.open(f"/proc/{pid}/ns/{space}", os.O_RDONLY | os.O_CLOEXEC) for space in MACHINE_SPACES]
    for file in files:
        _checked(_libc.setns(file, 0), f"setns to process {pid}")
        os.close(file)


def own_user_namespace(user: int, group: int) -> None:
    """Enter a new user namespace that shows the caller as `user` and `group`; files keep their owner."""
    outer_user, outer_group = os.geteuid(), os.getegid()
    unshare(NEW_USER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {outer_user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {outer_group} 1")


def mount(kind: str, target: str, options: str = "") -> None:
    """Mount a new file system (proc, tmpfs) at `target`."""
    _mount(kind, target, kind, 0, options)


def bind(source: Path, target: str) -> None:
    """Show the file `source` at `target`, where there is a file to cover."""
    if os.path.exists(target):
        _mount(str(source), target, None, _BIND, "")


def keep_mounts_private() -> None:
    """Make later mounts visible in this mount namespace only."""
    _mount(None, "/", None, _RECURSIVE | _PRIVATE, "")


def set_hostname(name: str) -> None:
    """Set the host name of this UTS namespace."""
    _checked(_libc.sethostname(name.encode(), len(name)), "sethostname")


def die_with_parent() -> None:
    """Have this process killed when the thread that forked it ends. The caller must check for a parent already dead."""
    _libc.prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)


def become_subreaper() -> None:
    """Become the parent of every orphan among the descendants."""
    _libc.prctl(_SUBREAPER, 1, 0, 0, 0)


def set_name(name: str) -> None:
    """Set what ps and top call this process (15 characters)."""
    _libc.prctl(_NAME, name.encode(), 0, 0, 0)


def stand_alone(name: str, keep: Sequence[int]) -> None:
    """Detach this freshly forked process: own session, name and signals, no files but the standard ones and `keep`."""
    set_name(name)
    os.setsid()
    default_signals()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # it still runs Python, which should get an OSError instead
    for file in map(int, os.listdir("/proc/self/fd")):
        if file > 2 and file not in keep:
            with suppress(OSError):  # the listing itself used one
                os.close(file)


def default_signals() -> None:
    """Handle signals as a new program does, whatever the parent did."""
    signal.set_wakeup_fd(-1)
    for number in _OFTEN_CHANGED:
        signal.signal(number, signal.SIG_DFL)


def fork(act: Callable[[], object]) -> int:
    """Fork a child that does `act` and exits; an exception's text goes to standard error. Returns its pid."""
    return os.fork() or _do(act, tell=2)


def fork_checked(act: Callable[[], object]) -> int:
    """Fork a child that does `act` and exits, or becomes another program; wait until it has done either.

    Returns its pid. Raises OSError with the child's own message when it failed.
    """
    return _collect(lambda tell: os.fork() or _do(act, tell))[0]


def fork_across(enter: Callable[[], object], act: Callable[[], object]) -> int:
    """`fork_checked` in two steps: a child enters other namespaces, and its own child does `act` in them.

    (A process that creates or joins a PID namespace does not move there; its children do.) The intermediate process
    exits at once, so the other one becomes a child of this process, if this is the reaper. Returns its pid as seen
    here.
    """

    def cross(tell: int) -> None:
        enter()
        pid = os.fork() or _do(act, tell)
        os.write(tell, f"pid {pid}\n".encode())

    between, said = _collect(lambda tell: os.fork() or _do(lambda: cross(tell), tell))
    os.waitpid(between, 0)
    return int(said.split()[1])


def _collect(fork: Callable[[int], int]) -> tuple[int, str]:
    """Fork children that hold the given end of a pipe; read it until all have closed it."""
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
