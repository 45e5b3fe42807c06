"""Room on the disk of this machine: the hosts of a sandbox keep their files there, and fail strangely without it."""

import errno
import shutil
from pathlib import Path

from support.errors import UsageError

NEEDED = 1024
"""Megabytes that must be free before a cluster boots. It begins with about half of that, and grows while it is used."""
_LEAST = 48  # megabytes: less than the next files of WAL of three members
_FULL = (errno.ENOSPC, errno.EDQUOT)


def require_room(directory: Path) -> None:
    """Raises UsageError if a cluster in `directory` would soon fill the disk."""
    if (free := _free(directory)) < NEEDED:
        raise UsageError(
            f"{free} MB are free on the disk of {directory}, and a cluster needs {NEEDED} MB at first and 3 GB by "
            "the end of a whole run: make room there, or move this project to another disk"
        )


def run_out(directory: Path) -> str:
    """Why what happens in `directory` proves nothing: its disk is full. Empty if it is not."""
    free = _free(directory)
    return f"{free} MB are free on the disk of {directory}, where the cluster keeps its files" if free < _LEAST else ""


def is_about_room(error: BaseException) -> bool:
    """Whether an error, or one that led to it, says that a disk or a quota is used up."""
    causes = (error.__cause__, error.__context__)
    return getattr(error, "errno", None) in _FULL or any(one is not None and is_about_room(one) for one in causes)


def _free(directory: Path) -> int:
    there = next(one for one in (directory, *directory.parents) if one.exists())
    return shutil.disk_usage(there).free // 2**20
