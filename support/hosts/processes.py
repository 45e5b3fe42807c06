"""Processes that this process can see: what they are now, and signals to them."""

import os
import signal
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from support.hosts.interface import Running

SERVERS = ("postgres", "postmaster", "edb-postgres")
"""The names of PostgreSQL's server in the various builds."""
_PROC = Path("/proc")


def look(pids: Iterable[int]) -> list[Running]:
    """The processes with these ids that are still there, as they are now."""
    return [found for pid in pids if (found := _running(pid)) is not None]


def alive(those: Collection[Running]) -> list[Running]:
    """The given processes that are still there, zombies apart, as they are now."""
    known = {one.identity for one in those}
    return [one for one in look(one.pid for one in those) if one.identity in known and not one.over]


def send(those: Iterable[Running], number: signal.Signals) -> None:
    """Signal them in this order; those that are gone, or others by now, are skipped."""
    for one in those:
        if alive([one]):
            with suppress(ProcessLookupError):
                os.kill(one.pid, number)


def _running(pid: int) -> Running | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace")
        title = (_PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = fields.partition("(")[2].rpartition(") ")
    state, parent, *others = rest.split()
    words = title.replace(b"\0", b" ").decode(errors="replace").strip()
    return Running(pid, int(others[17]), state, name, words, int(parent))


_PORTION = 1 << 20  # bytes


@dataclass(frozen=True)
class LogFile:
    """A log that is a file which this process can read; a mark is its size."""

    file: Path

    def end(self) -> str:
        return str(self.file.stat().st_size)

    def since(self, mark: str) -> str:
        with self.file.open("rb") as log:
            log.seek(int(mark or 0))
            return log.read().decode(errors="replace")

    def last(self, most: int) -> str:
        with self.file.open("rb") as log:
            log.seek(max(0, self.file.stat().st_size - most))
            return log.read().decode(errors="replace")

    def portions(self) -> Iterator[bytes]:
        with self.file.open("rb") as log:
            while portion := log.read(_PORTION):
                yield portion


def first_of(those: Sequence[Running], name: str) -> list[Running]:
    """The processes whose name begins with `name`; if it is one of PostgreSQL's server, with any of SERVERS.

    The lowest id comes first: parents before their children.
    """
    names = SERVERS if name in SERVERS else (name,)
    return sorted((one for one in those if one.name.startswith(names)), key=lambda one: one.pid)
