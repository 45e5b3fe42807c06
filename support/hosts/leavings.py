"""What outlives a killed process where it has no IPC namespace of its own: System V shared memory.

PostgreSQL keeps 56 bytes of it as its lock on a data directory, and takes them over when it is started again; when
it never is, they would stay until the machine is restarted.
"""

import ctypes
from collections.abc import Collection

REMOVE = 0  # IPC_RMID

_libc = ctypes.CDLL(None, use_errno=True)


def remove(killed: Collection[int]) -> None:
    """Remove the shared memory segments that were made by these processes and that nobody uses any more."""
    for segment, maker, users in _segments():
        if maker in killed and users == 0:
            _libc.shmctl(segment, REMOVE, None)


def _segments() -> list[tuple[int, int, int]]:
    """Identifier, pid of the maker, and number of users of each segment in this IPC namespace."""
    with open("/proc/sysvipc/shm") as table:
        heading, *lines = (line.split() for line in table)
    columns = [heading.index(name) for name in ("shmid", "cpid", "nattch")]
    return [tuple(int(line[column]) for column in columns) for line in lines]  # type: ignore[misc]
