"""What a sandbox uses on the machine, for tests that nothing of it is left."""

import os
from dataclasses import dataclass

import psutil

SPACES = ("user", "net", "mnt", "ipc", "uts", "pid")


@dataclass(frozen=True)
class Traces:
    """What a sandbox uses on the machine."""

    processes: list[psutil.Process]
    namespaces: set[str]

    def left(self) -> list[str]:
        """The part that still exists."""
        used = {space for pid in psutil.pids() for space in _namespaces(pid)}
        return [*(repr(process) for process in self.processes if lives(process)), *(self.namespaces & used)]


def traces_of(caller: int) -> Traces:
    """Everything that the sandbox which `caller` entered uses, and that the sandboxes inside it use."""
    processes = [psutil.Process(caller), *psutil.Process(caller).children(recursive=True)]
    spaces = {space for process in processes for space in _namespaces(process.pid)}
    return Traces(processes, spaces - _namespaces(os.getpid()))


def lives(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two calls
        return False


def _namespaces(pid: int) -> set[str]:
    try:
        return {os.readlink(f"/proc/{pid}/ns/{space}") for space in SPACES}
    except OSError:
        return set()
