"""The namespace sandbox: each host has a network, PID, mount, IPC and UTS namespace of its own.

A host lives as long as its first process, a `sleep`. When that is killed, the kernel kills everything else on the
host, and reports its end only when all is gone.
"""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from support.errors import NotAvailable
from support.hosts import kernel, process_tags
from support.hosts.backend import Machine, Program, become
from support.hosts.fuse import why_not_fuse
from support.hosts.switch import Switch, address
from support.hosts.volatile import VolatileDisk

USER = 1000  # the user that programs run as on their hosts: PostgreSQL refuses to run as root
PASSWD = f"root:x:0:0:root:/root:/bin/sh\naccept:x:{USER}:{USER}:accept:/tmp:/bin/sh\n"
LOCAL_NAMES = "127.0.0.1 localhost\n::1 localhost\n"


class NamespaceBackend:
    """Makes hosts of namespaces. Create it in PID 1 of new user, network, PID, mount, IPC and UTS namespaces."""

    def __init__(self, directory: Path, sandbox: int) -> None:
        self._sandbox = sandbox
        self._passwd = directory / "passwd"
        self._passwd.write_text(PASSWD)
        _own_mounts()
        self._names = Path("/dev/shm/names")  # a sandbox inside this one covers it: such a file cannot be removed
        self._names.write_text(LOCAL_NAMES)
        kernel.bind(self._names, "/etc/hosts")
        self._switch = Switch()

    def address(self, number: int) -> str:
        """See Backend."""
        return address(number)

    def introduce(self, machines: Sequence[Machine]) -> None:
        """See Backend."""
        lines = [f"{machine.address} {machine.name}\n" for machine in machines]
        self._names.write_text(LOCAL_NAMES + "".join(lines))  # in place: this very file is bound on every host

    def power_on(self, machine: Machine) -> None:
        """See Backend."""
        machine.init = kernel.fork_across(
            lambda: kernel.unshare(kernel.OWN_MACHINE), lambda: self._become_init(machine)
        )
        self._switch.connect(machine.number)

    def power_off(self, machine: Machine) -> list[int]:
        """See Backend. Pulls the cable first, so that dying processes cannot say goodbye to their peers."""
        self._switch.disconnect(machine.number)
        if machine.init is None:
            return []
        process_tags.send([machine.init], signal.SIGKILL)
        return [machine.init]

    def give_disk(self, machine: Machine, place: Path, megabytes: int) -> None:
        """See Backend. Only the host sees the disk; it disappears with the host's mount namespace."""
        init = machine.init
        assert init is not None
        kernel.fork_across(
            lambda: kernel.join(init), lambda: kernel.mount("tmpfs", str(place), f"size={megabytes}m,mode=0700")
        )

    def volatile_disk(self, machine: Machine, place: Path) -> VolatileDisk:
        """See Backend."""
        if reason := why_not_fuse():
            raise NotAvailable(reason)
        return VolatileDisk(place, machine.directory / f"{place.name}.log")

    def kill(self, match: Callable[[int], bool]) -> list[int]:
        """See Backend."""
        return process_tags.kill(match)

    def switch(self) -> Switch:
        """See Backend."""
        return self._switch

    def prefix(self, machine: Machine) -> list[str]:
        """See Backend."""
        spaces = ["--net", "--uts", "--ipc", "--pid", "--mount"]
        user = [f"--map-user={USER}", f"--map-group={USER}", f"--wd={machine.directory}"]
        return ["nsenter", f"--target={machine.init}", *spaces, "--", "unshare", "--user", *user, "--"]

    def spawn(self, machine: Machine, program: Program) -> int:
        """See Backend."""
        init = machine.init
        assert init is not None

        def act() -> None:
            kernel.own_user_namespace(USER, USER)
            process_tags.adopt(process_tags.tag(self._sandbox, machine.number, program.number))
            become(program, program.argv, machine.directory)

        return kernel.fork_across(lambda: kernel.join(init), act)

    def _become_init(self, machine: Machine) -> NoReturn:
        os.setsid()
        self._switch.lay_cable(machine.number)
        _own_mounts()
        kernel.bind(self._passwd, "/etc/passwd")
        kernel.set_hostname(machine.name)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # exec keeps this: the kernel reaps orphans
        os.execvp("sleep", [f"host:{machine.name}", "infinity"])


def _own_mounts() -> None:
    """Mount what must neither be shared with other hosts nor outlive this one."""
    kernel.keep_mounts_private()
    kernel.mount("proc", "/proc")
    kernel.mount("tmpfs", "/dev/shm", "mode=1777")  # PostgreSQL leaves files there when it is killed
