"""Which kind of stand works here: found by trying, for what is allowed and what then works are two things."""

import os
from functools import cache
from pathlib import Path

from pyroute2 import IPRoute

from support.hosts import kernel
from support.waiting import describe

NAMESPACES, LOOPBACK = "namespaces", "loopback"


def probe() -> str:
    """The best kind of stand that works here: "namespaces", else "loopback". Takes milliseconds."""
    return LOOPBACK if why_not_namespaces() else NAMESPACES


@cache
def why_not_namespaces() -> str | None:
    """What failed when namespaces were tried here, and what may help; None when they work."""
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
    with IPRoute() as routes:
        routes.link("add", ifname="probe", kind="veth", peer={"ifname": "probed"})
    kernel.own_user_namespace(1000, 1000)


def _advice() -> str:
    """What the user can change, where the cause is a known one."""
    kernel_settings = Path("/proc/sys/kernel")
    for setting, closed in (("apparmor_restrict_unprivileged_userns", "1"), ("unprivileged_userns_clone", "0")):
        file = kernel_settings / setting
        if file.exists() and file.read_text().strip() == closed:
            return f"; to allow them: sudo sysctl kernel.{setting}={1 - int(closed)}"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "; to allow them start the container with --privileged"
    return ""
