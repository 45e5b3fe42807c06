"""What programs of a user's host have logged: to files, to the journal, or through PostgreSQL's logging collector."""

import time
from collections.abc import Collection
from datetime import datetime

from support.errors import ProcessFailed
from support.hosts.interface import Clock
from support.hosts.remote.reach import Reach

READ_WITHIN = 60.0
"""Seconds: a log may be long."""


_SAME_TIME = 2.0  # seconds; a smaller difference between two clocks may just be the time that it takes to ask


def clock_of(reach: Reach) -> Clock | None:
    """What the clock of a host shows; None if it does not answer."""
    begun = time.time()
    try:
        shown, zone = reach.run("date", "+%s %z").split()
        at, offset = int(shown), datetime.strptime(zone, "%z").utcoffset()
    except (ProcessFailed, ValueError):
        return None
    ahead = at + 0.5 - (begun + time.time()) / 2  # `date` shows whole seconds
    return Clock(offset.total_seconds() if offset is not None else None, ahead if abs(ahead) > _SAME_TIME else 0.0)


class RemoteLog:
    """A file on a host."""

    def __init__(self, reach: Reach, file: str) -> None:
        self._reach, self._file = reach, file

    def end(self) -> str:
        return self._reach.run("size", self._file).split("\t")[0].strip()

    def since(self, mark: str) -> str:
        return self._reach.run("tail_of", self._file, mark or "0", within=READ_WITHIN)

    def last(self, most: int) -> str:
        return self._reach.run("tail", "-c", str(most), self._file, within=READ_WITHIN)


class Journal:
    """What a systemd unit has logged."""

    def __init__(self, reach: Reach, unit: str) -> None:
        self._reach, self._unit = reach, unit

    def end(self) -> str:
        return self._reach.run("date", "+%s").strip()

    def since(self, mark: str) -> str:
        since = [f"--since=@{mark}"] if mark else []
        return self._read(*since)

    def last(self, most: int) -> str:
        return self._read("-n", str(most // 100))

    def _read(self, *options: str) -> str:
        words = ("journalctl", "--no-pager", "-o", "cat", "-u", self._unit)
        return self._reach.run(*words, *options, within=READ_WITHIN)


class CollectedLogs:
    """The files of PostgreSQL's logging collector. Each start of the server begins a new one, and so does rotation. So
    a server that fails to start, or starts again, leaves what it logged in files that are no longer written to.
    """

    def __init__(self, reach: Reach, folder: str, files: Collection[str]) -> None:
        """`files` are those in the folder that the collector was seen to write."""
        self._reach, self._folder, self._files = reach, folder, files

    def end(self) -> str:
        """See Log: the size of each file."""
        return self._reach.run("sizes", self._folder)

    def since(self, mark: str) -> str:
        """See Log: of all files that are new or were written to, the oldest first.

        Without a mark, of those that the collector was seen to write: others may go back for weeks.
        """
        before, now = _sizes(mark), _sizes(self.end())
        changed = [file for file, size in now.items() if size != before.get(file) and (mark or file in self._files)]
        return "".join(
            self._reach.run("tail_of", file, str(before.get(file, 0)), within=READ_WITHIN) for file in changed
        )

    def last(self, most: int) -> str:
        """See Log."""
        newest = list(_sizes(self.end()))[-1:]
        return "".join(self._reach.run("tail", "-c", str(most), file, within=READ_WITHIN) for file in newest)


def _sizes(listed: str) -> dict[str, int]:
    """File -> bytes, in the order in which they were last written to."""
    rows = [line.split("\t", 1) for line in listed.splitlines() if "\t" in line]
    return {file: int(size) for size, file in rows}
