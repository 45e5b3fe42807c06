"""Faults of single sessions."""

from support import sql
from support.waiting import NotYet

_THERE = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"


class SessionKilled:
    """The server's process of one session is ended in the middle of what it does."""

    def __init__(self, where: sql.Endpoint, backend: int, words: str) -> None:
        """`where` leads to the server of that session, as its own role; `words` say what session it is."""
        self._where, self._backend, self._words = where, backend, words

    def __str__(self) -> str:
        return f"{self._words} is killed"

    def inject(self) -> None:
        sql.value(self._where, "SELECT pg_terminate_backend(%s)", [self._backend])

    def require_bitten(self) -> None:
        if sql.value(self._where, _THERE, [self._backend]):
            raise NotYet(f"process {self._backend} is still there")

    def cure(self) -> None:
        """Nothing to be done: who needs it opens another."""
