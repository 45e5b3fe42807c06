"""A program that is killed and started again at once."""

from support.hosts import Process
from support.waiting import NotYet


class Restart:
    """The program and its sessions are gone (kill -9), and it is there again as soon as it can start."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._before = process.pid

    def __str__(self) -> str:
        return f"{self._process.name} on {self._process.host} is killed and started again"

    def inject(self) -> None:
        self._process.kill()
        self._process.start()

    def require_bitten(self) -> None:
        """It is another process than before."""
        now = self._process.pid
        if now is None or now == self._before:
            raise NotYet(f"it runs as {now}, before as {self._before}")

    def cure(self) -> None:
        self._process.start()
