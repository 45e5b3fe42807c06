"""Files: written in one step, readable by their owner only where they hold secrets, and locked for a while."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USUAL, _PRIVATE = 0o666, 0o600  # permissions; the umask takes some of the first


def replace_file(path: Path, contents: str | bytes, mode: int | None = None) -> None:
    """Write a file in one step: whoever reads it gets the old contents or the new, never a part. Raises OSError.

    If it cannot be written, as on a full disk, the old file stays. `mode`: the permissions of the new file, regardless
    of the umask and of those of the old file; by default those of any new file.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _USUAL if mode is None else mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(contents.encode() if isinstance(contents, str) else contents)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def write_private(path: Path, contents: str | bytes) -> None:
    """Write a file in one step that only its owner can read, even if others could read the old one. Raises OSError."""
    replace_file(path, contents, _PRIVATE)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on that file, which is created if need be; wait as long as another process holds it.

    The kernel releases it, however this process ends. Raises OSError.
    """
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
