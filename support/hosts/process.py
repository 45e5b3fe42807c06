"""The handle of a program on a host."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.errors import NotInTime, ProcessFailed
from support.hosts.rpc import call
from support.waiting import NotYet, eventually

GONE_WITHIN = 10.0  # seconds for killed processes to be reaped; they are gone in milliseconds unless a disk hangs
QUICK = 0.01  # seconds between two looks at something that is about to happen


@dataclass(frozen=True)
class Process:
    """A supervised program on a host, known by (host, name). It runs until stopped, killed, or the sandbox ends."""

    sandbox: Path
    host: str
    name: str
    log: Path
    """Standard output and error of every incarnation, appended."""

    @property
    def pid(self) -> int | None:
        """Process id as seen inside the sandbox, or None when it does not run (never a zombie)."""
        pid: int | None = self._ask("pid")
        return pid

    @property
    def pids(self) -> Sequence[int]:
        """All its processes as seen inside the sandbox, descendants too, whatever became of their parents."""
        pids: Sequence[int] = self._ask("pids")
        return pids

    def start(self) -> None:
        """Start it, or do nothing when it runs. Raises ProcessFailed when it cannot be executed."""
        self._ask("start")

    def stop(self, within: float = 10.0) -> None:
        """SIGTERM, then SIGKILL when it is not gone in time; returns when it and its descendants are gone.

        What is paused cannot hear SIGTERM, so it is resumed first.
        """
        self.resume()
        self._ask("terminate")
        try:
            await_none_left(lambda: self.pids, self._subject, within)
        except ProcessFailed:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to it and all its descendants at once; returns when they are gone."""
        await_none_left(lambda: self._ask("kill"), self._subject)

    def pause(self) -> None:
        """SIGSTOP to it and all its descendants (a freeze)."""
        self._ask("pause")

    def resume(self) -> None:
        """SIGCONT to what was paused. Harmless when nothing is."""
        self._ask("resume")

    def _ask(self, verb: str) -> Any:
        return call(self.sandbox, verb, host=self.host, name=self.name)

    @property
    def _subject(self) -> str:
        return f"{self.name} on {self.host} is gone"


def await_none_left(left: Callable[[], Sequence[int]], subject: str, within: float = GONE_WITHIN) -> None:
    """Wait until no process is left. Raises ProcessFailed after `within` seconds: that is nobody's broken promise."""

    def gone() -> None:
        if pids := left():
            raise NotYet(f"left are {pids}")

    try:
        eventually(gone, within=within, subject=subject, pause=QUICK)
    except NotInTime as late:
        raise ProcessFailed(str(late)) from late
