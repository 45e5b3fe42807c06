"""Bounds of time that hold on a busy machine as well: time in which the processors were others' does not count."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from support.hosts.processors import read, trees, usage


@contextmanager
def takes_less_than(limit: float) -> Iterator[None]:
    """Its body takes less than `limit` seconds, of which only that share counts in which processors were ours or idle.

    The figures of the kernel are coarse; a bound of a few tenths of a second must not be the point of a test.
    """
    ours = trees({os.getpid()})
    before, begun = read(ours), time.monotonic()
    yield
    elapsed = time.monotonic() - begun
    used = usage(before, read(ours))
    free = max(0.1, min(1.0, (used.ours + used.idle) / used.processors))
    assert elapsed * free < limit, (
        f"it took {elapsed:.2f} s, {elapsed * free:.2f} s of them ours (limit: {limit:g} s); {used}"
    )
