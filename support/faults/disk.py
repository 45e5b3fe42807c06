"""Disks that are full: a member gets a small one of its own, and something else fills it."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path

from support.errors import ProcessFailed
from support.faults.disaster import DATA
from support.hosts import Host, Process
from support.waiting import NotYet

ROOM = 48
"""Megabytes that are free on the small disk at first."""

_DISK, _WAL, _ASIDE, _BALLAST = "disk", "wal", "data.aside", "ballast"
_COPY = f"""
import shutil, sys
without = shutil.ignore_patterns("pg_wal", "{_BALLAST}")
shutil.copytree(sys.argv[1], sys.argv[2], symlinks=True, dirs_exist_ok=True, ignore=without)
"""
_FULL = "No space left on device"


class SmallDisk:
    """A member's data is on a disk of its own, with little room left; its WAL is on the one that it had.

    Servers are built so because one that cannot write its WAL has to end at once.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        here = host.directory
        self._data, self._aside, self._disk, self._wal = here / DATA, here / _ASIDE, here / _DISK, here / _WAL

    def __str__(self) -> str:
        return f"the data of {self.host.name} is on a small disk of its own"

    def inject(self) -> None:
        used = self.host.run(["du", "-sm", "--exclude=pg_wal", str(self._data)]).stdout
        self._disk.mkdir()
        self.host.give_disk(self._disk, int(used.split()[0]) + ROOM)
        self._member.stop(within=60.0)
        self._copy(self._data, self._disk)
        self.host.run(["ln", "--symbolic", str(self._wal), str(self._disk / "pg_wal")])
        (self._data / "pg_wal").rename(self._wal)
        self._data.rename(self._aside)
        self._data.symlink_to(self._disk)
        self._member.start()

    def require_bitten(self) -> None:
        if self._member.pid is None or not self._data.is_symlink():
            raise NotYet(f"{self.host.name} does not run from it")

    def cure(self) -> None:
        """All that the member has written goes back to where it was; the disk goes with the power."""
        if not self._disk.exists():
            return
        DiskFull(self.host).cure()
        self._member.stop(within=60.0)  # a leader hands over
        if self._data.is_symlink():
            shutil.rmtree(self._aside)
            self._copy(self._disk, self._aside)
            self._data.unlink()
        if self._aside.exists():
            self._aside.rename(self._data)
        if self._wal.exists():
            self._wal.rename(self._data / "pg_wal")
        self.host.power_off()
        self._disk.rmdir()
        self.host.power_on()
        self._member.start()

    @property
    def _member(self) -> Process:
        return self.host.processes["patroni"]

    def _copy(self, source: Path, target: Path) -> None:
        """As the host sees them: nobody else sees the disk."""
        self.host.run([sys.executable, "-S", "-c", _COPY, str(source), str(target)])


class DiskFull:
    """Something has taken all that was free on the small disk of a member."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._disk = host.directory / _DISK

    def __str__(self) -> str:
        return f"the disk of {self.host.name} is full"

    def inject(self) -> None:
        try:
            self.host.run(["dd", "if=/dev/zero", f"of={self._disk / _BALLAST}", "bs=4k"])
        except ProcessFailed as error:
            if _FULL not in str(error):
                raise

    def require_bitten(self) -> None:
        free = int(self.host.run(["stat", "--file-system", "--format=%a", str(self._disk)]).stdout)
        if free:
            raise NotYet(f"{free} blocks are free on the disk of {self.host.name}")

    def cure(self) -> None:
        with suppress(ProcessFailed):  # it went with the disk
            self.host.run(["rm", "--force", str(self._disk / _BALLAST)])
