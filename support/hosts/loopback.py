"""The loopback sandbox, for where namespaces are forbidden: each host is a loopback address with plain processes.

Its network cannot be cut. A power-off closes connections, as the kernel does for every dead process.
"""

import ctypes
import os
import pwd
import random
import shutil
import socket
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from support.errors import NotAvailable
from support.hosts import kernel, process_tags
from support.hosts.backend import Machine, Program, become
from support.hosts.switch import Switch
from support.hosts.volatile import VolatileDisk

RESERVED_PORT = 64999  # on each sandbox's own address; the sandbox that has bound it owns the whole 127.x.y.*
ATTEMPTS = 100
REMOVE_SEGMENT = 0  # IPC_RMID

_libc = ctypes.CDLL(None, use_errno=True)


class LoopbackBackend:
    """Makes hosts of loopback addresses. Create it in the supervisor."""

    def __init__(self, sandbox: int) -> None:
        self._sandbox = sandbox
        self._network, self._reservation = _reserve_network()
        self._killed: set[int] = set()
        kernel.become_subreaper()

    def address(self, number: int) -> str:
        """See Backend."""
        return f"{self._network}.{number}"

    def introduce(self, machines: Sequence[Machine]) -> None:
        """See Backend. Does nothing: the machine has one /etc/hosts, and it is not ours."""

    def power_on(self, machine: Machine) -> None:
        """See Backend."""
        if os.geteuid() == 0:
            os.chown(machine.directory, *_unprivileged())

    def power_off(self, machine: Machine) -> list[int]:
        """See Backend."""
        host = process_tags.host_of(self._tag(machine))
        return self.kill(lambda number: process_tags.host_of(number) == host)

    def give_disk(self, machine: Machine, place: Path, megabytes: int) -> None:
        """See Backend."""
        raise NotAvailable("all hosts of a loopback sandbox share one disk; this takes a sandbox of namespaces")

    def volatile_disk(self, machine: Machine, place: Path) -> VolatileDisk:
        """See Backend."""
        raise NotAvailable("hosts of a loopback sandbox share one disk; this takes a sandbox of namespaces")

    def kill(self, match: Callable[[int], bool]) -> list[int]:
        """See Backend."""
        left = process_tags.kill(match)
        self._killed.update(left)
        if not left:
            remove_shared_memory(self._killed)
        return left

    def switch(self) -> Switch:
        """See Backend."""
        raise NotAvailable(
            "a loopback sandbox cannot cut or slow down the network between its hosts, which share one; this takes a "
            "sandbox of namespaces"
        )

    def prefix(self, machine: Machine) -> list[str]:
        """See Backend."""
        return [
            *process_tags.tagging_argv(self._tag(machine)),
            *_unprivileged_argv(),
            "env",
            f"--chdir={machine.directory}",
        ]

    def spawn(self, machine: Machine, program: Program) -> int:
        """See Backend."""
        path = program.env.get("PATH", os.defpath)
        if shutil.which(program.argv[0], path=path) is None:  # setpriv would report it in the log only
            raise FileNotFoundError(f"no such program on {path}")

        def act() -> None:
            process_tags.adopt(self._tag(machine, program.number))
            become(program, [*_unprivileged_argv(), *program.argv], machine.directory)

        return kernel.fork_checked(act)

    def _tag(self, machine: Machine, program: int = process_tags.ANY_COMMAND) -> int:
        return process_tags.tag(self._sandbox, machine.number, program)


def _reserve_network() -> tuple[str, socket.socket]:
    """A random 127.x.y that no other sandbox uses, and the socket that reserves it."""
    for _ in range(ATTEMPTS):
        network = f"127.{random.randint(16, 250)}.{random.randint(0, 255)}"
        reservation = socket.socket()
        try:
            reservation.bind((f"{network}.1", RESERVED_PORT))
            return network, reservation
        except OSError:
            reservation.close()
    raise OSError(f"no free loopback network: port {RESERVED_PORT} is taken on {ATTEMPTS} of them")


def _unprivileged() -> tuple[int, int]:
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _unprivileged_argv() -> list[str]:
    """The words before a command that keep it from running as root, which PostgreSQL refuses.

    The ambient capability lets the other user read files below a home that only root can enter. Without it, a Python
    installed there silently loads the wrong library.
    """
    if os.geteuid() != 0:
        return []
    user, group = _unprivileged()
    ids = [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    return ["setpriv", *ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]


def remove_shared_memory(killed: Collection[int]) -> None:
    """Remove the System V shared memory segments that these processes made and nobody uses any more.

    They outlive a killed process that has no IPC namespace of its own. PostgreSQL keeps 56 bytes as its lock on a data
    directory, and takes them over when it is started again; if it never is, they stay until the machine restarts.
    """
    for segment, maker, users in _shared_memory_segments():
        if maker in killed and users == 0:
            _libc.shmctl(segment, REMOVE_SEGMENT, None)


def _shared_memory_segments() -> list[tuple[int, int, int]]:
    """Identifier, pid of the maker, and number of users of each segment in this IPC namespace."""
    with open("/proc/sysvipc/shm") as table:
        heading, *lines = (line.split() for line in table)
    columns = [heading.index(name) for name in ("shmid", "cpid", "nattch")]
    return [tuple(int(line[column]) for column in columns) for line in lines]  # type: ignore[misc]
