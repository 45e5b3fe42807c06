"""Which kind of sandbox works here: found by trying, for what is allowed and what then works are two things."""

import os
from functools import cache
from pathlib import Path

from support.hosts import kernel
from support.hosts.switch import kernel_routes
from support.waiting import describe

NAMESPACES, LOOPBACK = "namespaces", "loopback"
SWITCHES = (  # a setting, the value that forbids namespaces, and one that allows them
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "10000"),
)
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


def probe() -> str:
    """The best kind of sandbox that works here: "namespaces", else "loopback". Takes milliseconds."""
    return LOOPBACK if why_not_namespaces() else NAMESPACES


@cache
def why_not_namespaces() -> str | None:
    """What failed when namespaces were tried here, and what may help; None when they work."""
    kernel_routes().close()  # imported here, it is there in every process forked later
    try:
        os.waitpid(kernel.fork_told(_try), 0)
    except OSError as refused:
        return f"no namespaces here: {describe(refused)}{_advice()}"
    return None


def _try() -> None:
    kernel.own_user_namespace(0, 0)
    kernel.unshare(kernel.OWN_MACHINE)
    os.waitpid(kernel.fork_told(_try_machine), 0)


def _try_machine() -> None:
    """AppArmor may allow the namespaces and then refuse everything inside, a container may hide /proc."""
    kernel.keep_mounts_private()
    kernel.mount("proc", "/proc")
    kernel.mount("tmpfs", "/dev/shm")
    with kernel_routes() as routes:
        routes.link("add", ifname="probe", kind="veth", peer={"ifname": "probed"})
    kernel.own_user_namespace(1000, 1000)


def _advice() -> str:
    """What the user can change, where the cause is a known one."""
    for setting, closed, open_ in SWITCHES:
        file = Path("/proc/sys", *setting.split("."))
        if file.exists() and file.read_text().strip() == closed:
            return f"; to allow them: sudo sysctl {setting}={open_}"
    if any(map(os.path.exists, CONTAINER_MARKS)):
        return "; to allow them start the container with --privileged"
    return ""
