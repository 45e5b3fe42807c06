"""Whether a boot makes progress, so that a slow machine is given time, and a boot that hangs is not.

A boot is given up when it could have gone on for a while and did not: it reached no new step, its programs wrote next
to nothing, and processors were idle. Time in which the processors were busy does not count, whoever used them: on a
busy machine a boot waits for its turn, and on a slow one it works. Nor does time in which a CPU quota stopped it.
"""

import time
from pathlib import Path

from support.hosts.processors import Reading, Selection, read, usage
from support.timeouts import START

LONGEST = 10 * START
"""Seconds after which even a boot that keeps the machine busy is given up."""
_LOOK = 1.0  # seconds between two looks at the machine at least: its figures are coarse
_COPYING = 256 * 1024  # bytes a second; the programs of an idle cluster write much less


class Stalled(Exception):
    """A boot has made no progress for so long that it will make none. The message says what was last observed."""


class Progress:
    """Follows one boot. `ours` says which processes are the cluster's."""

    def __init__(self, ours: Selection, allowed: float = START) -> None:
        self._ours, self._allowed = ours, allowed
        self._begun = time.monotonic()
        self._last_step, self._stalled = "none", 0.0
        self._machine, self._written = self._look()

    @property
    def left(self) -> float:
        """Seconds that the boot may last from now, however much it works."""
        return max(0.0, self._begun + LONGEST - time.monotonic())

    def reached(self, step: str) -> None:
        """The boot has reached a new step."""
        self._last_step, self._stalled = step, 0.0
        self._machine, self._written = self._look()

    def require(self, subject: str, observed: str) -> None:
        """Raises Stalled if the boot has made no progress for too long, instead of reaching `subject`."""
        if time.monotonic() - self._machine.at < _LOOK:
            return
        before, written = self._machine, self._written
        self._machine, self._written = self._look()
        used = usage(before, self._machine)
        if self._written - written >= _COPYING * used.seconds:
            self._stalled = 0.0
            return
        self._stalled += used.seconds * min(1.0, used.idle / used.processors) * max(0.0, 1.0 - used.throttled)
        if self._stalled >= self._allowed:
            raise Stalled(
                f"{subject}: no progress while processors were idle for {self._stalled:.0f} s (limit: "
                f"{self._allowed:g} s), {time.monotonic() - self._begun:.0f} s after the start; last step: "
                f"{self._last_step}; last observed: {observed}"
            )

    def _look(self) -> tuple[Reading, int]:
        machine = read(self._ours)
        return machine, sum(map(_written_by, machine.ours))


def _written_by(pid: int) -> int:
    """Bytes that a process and its reaped children have written; 0 if it is gone, or not to be asked."""
    try:
        counts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    except OSError:
        return 0
    return int(counts.get("wchar", 0))
