"""The stand where namespaces are forbidden: each host is a loopback address, and its programs plain processes.

The network cannot be cut there, and a power-off closes connections as the kernel does for every dead process.
"""

import os
import pwd
import random
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from support.errors import NotAvailable
from support.hosts import brands, kernel, leavings
from support.hosts.machines import Machine, Program, become
from support.hosts.switch import Switch

RESERVED_PORT = 64999  # on each stand's own address; who has bound it has the whole 127.x.y.*
ATTEMPTS = 100


class LoopbackGround:
    """Makes hosts of loopback addresses. To be made by the steward."""

    def __init__(self, stand: int) -> None:
        self._stand = stand
        self._network, self._reservation = _reserve_network()
        self._killed: set[int] = set()
        kernel.become_subreaper()

    def address(self, number: int) -> str:
        """See Ground."""
        return f"{self._network}.{number}"

    def introduce(self, machines: Sequence[Machine]) -> None:
        """See Ground. There is one /etc/hosts for all the machine, and it is not ours."""

    def power_on(self, machine: Machine) -> None:
        """See Ground."""
        if os.geteuid() == 0:
            os.chown(machine.directory, *_unprivileged())

    def power_off(self, machine: Machine) -> list[int]:
        """See Ground."""
        host = brands.host_of(self._brand(machine))
        return self.kill(lambda number: brands.host_of(number) == host)

    def give_disk(self, machine: Machine, place: Path, megabytes: int) -> None:
        """See Ground."""
        raise NotAvailable("a loopback stand has one disk for all its hosts; it takes a stand of namespaces")

    def kill(self, match: Callable[[int], bool]) -> list[int]:
        """See Ground."""
        left = brands.kill(match)
        self._killed.update(left)
        if not left:
            leavings.remove(self._killed)
        return left

    def switch(self) -> Switch:
        """See Ground."""
        raise NotAvailable(
            "a loopback stand cannot cut or slow down the network between its hosts: they share one; it takes a "
            "stand of namespaces"
        )

    def prefix(self, machine: Machine) -> list[str]:
        """See Ground."""
        return [
            *brands.wearing_argv(self._brand(machine)),
            *_unprivileged_argv(),
            "env",
            f"--chdir={machine.directory}",
        ]

    def spawn(self, machine: Machine, program: Program) -> int:
        """See Ground."""
        path = program.env.get("PATH", os.defpath)
        if shutil.which(program.argv[0], path=path) is None:  # setpriv would only say so in the log
            raise FileNotFoundError(f"no such program on {path}")

        def act() -> None:
            brands.wear(self._brand(machine, program.number))
            become(program, [*_unprivileged_argv(), *program.argv], machine.directory)

        return kernel.fork_told(act)

    def _brand(self, machine: Machine, program: int = brands.ANY_COMMAND) -> int:
        return brands.brand(self._stand, machine.number, program)


def _reserve_network() -> tuple[str, socket.socket]:
    """A random 127.x.y that no other stand has, and the socket that keeps it ours."""
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
    """Before a command: not as root, which PostgreSQL refuses.

    The ambient capability lets the other user read what lies below a root-only home: without it a Python there
    silently loads the wrong library.
    """
    if os.geteuid() != 0:
        return []
    user, group = _unprivileged()
    ids = [f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    return ["setpriv", *ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]
