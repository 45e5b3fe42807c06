"""The state of a sandbox on disk: two files in its directory.

The supervisor holds a lock on `lock` as long as it lives. The kernel releases the lock however the supervisor dies, so
it reliably tells a living sandbox from a dead one. `sandbox.json` says how to find it.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from support.errors import NotAvailable, UsageError
from support.files import write_private

LOCK, FACTS, SOCKET = "lock", "sandbox.json", "supervisor"


@dataclass(frozen=True)
class Facts:
    """How to find a living sandbox."""

    kind: str
    """"namespaces" or "loopback"."""
    supervisor: int
    """The supervisor's pid, as seen from outside."""
    pid_namespace: str
    """The sandbox's pid namespace, as `readlink /proc/self/ns/pid` shows it; the system's own on loopback."""
    published: Mapping[str, tuple[str, int]]


def own_pid_namespace() -> str:
    """The pid namespace of this process."""
    return os.readlink("/proc/self/ns/pid")


def require_free(directory: Path) -> None:
    """Raises UsageError when a sandbox lives in `directory`."""
    if alive(directory):
        raise UsageError(f"a sandbox lives in {directory} already; end it, or choose another directory")


def announce(directory: Path, facts: Facts) -> int:
    """Announce that this process's sandbox lives, and how to find it; returns the file that must stay open.

    The lock file comes last, and is locked before anybody sees it: a sandbox that looks alive is ready.
    """
    write_private(directory / FACTS, json.dumps(asdict(facts), indent=2))
    fresh = directory / f"{LOCK}.new"
    file = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    fresh.rename(directory / LOCK)
    return file


def alive(directory: Path) -> bool:
    """Whether a sandbox lives in `directory`."""
    return _lock_is(directory, held=True)


def stale(directory: Path) -> bool:
    """Whether a sandbox lived in `directory` and is dead, so that what it left on disk may be removed."""
    return _lock_is(directory, held=False)


def read(directory: Path) -> Facts:
    """How to find the sandbox that lives in `directory`. Raises NotAvailable when it is dead, or never was."""
    if not alive(directory):
        word = "is gone" if stale(directory) else "was never made"
        raise NotAvailable(f"the sandbox in {directory} {word}; start one first")
    found = json.loads((directory / FACTS).read_text())
    published = {name: (address, port) for name, (address, port) in found.pop("published").items()}
    return Facts(**found, published=published)


def _lock_is(directory: Path, *, held: bool) -> bool:
    try:
        file = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return held
    finally:
        os.close(file)
    return not held
