"""Opening, using and losing sessions the way that the application does."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from support import sql
from support.errors import Inconclusive


@dataclass(frozen=True)
class Attempt:
    """What came of something that was tried: what was said against it, if anything, and the seconds that it took."""

    error: Exception | None
    seconds: float


def attempt(action: Callable[[], object]) -> Attempt:
    """Try it once. Errors that do not come from the database, or the way to it, are raised."""
    begun = time.monotonic()
    error = sql.error_of(action)
    return Attempt(error, time.monotonic() - begun)


def open_side_by_side(endpoint: sql.Endpoint, count: int, opened: list[sql.Session]) -> None:
    """Add `count` open sessions to `opened`, each in a transaction, so that no pooler can serve two with one backend.

    Raises ConnectFailed or sql.Error at the first that is refused.
    """
    for _ in range(count):
        opened.append(sql.connect(endpoint))
        backend(opened[-1])


def open_idle(endpoint: sql.Endpoint, count: int, opened: list[sql.Session]) -> None:
    """Add `count` open sessions to `opened`, none in a transaction. Raises ConnectFailed at the first refusal."""
    for _ in range(count):
        opened.append(sql.connect(endpoint, autocommit=True))


def backend(session: sql.Session) -> int:
    """The process id of the server's end of a session."""
    return int(sql.value(session, "SELECT pg_backend_pid()"))


def share_a_backend(endpoint: sql.Endpoint, tries: int = 5) -> bool:
    """Whether open sessions that do nothing are served by one backend: a pooler behind which transactions are pooled.

    Such a pooler gives the next statement the backend that was idle last; a server gives each session its own.
    """
    with ExitStack() as opened:
        first, second = (opened.enter_context(sql.session(endpoint)) for _ in range(2))
        return any(backend(first) == backend(second) for _ in range(tries))


def backends(sessions: Iterable[sql.Session]) -> set[int]:
    """The backends of those sessions that answer."""
    found = set()
    for session in sessions:
        with suppress(sql.Error):
            found.add(backend(session))
    return found


def kill_backend(endpoint: sql.Endpoint, pid: int) -> None:
    """Have the server end another session of the same role. Raises Inconclusive when it is not gone in 5 s."""
    if not sql.value(endpoint, "SELECT pg_terminate_backend(%s, 5000)", [pid]):
        raise Inconclusive(f"the session of backend {pid} could not be killed")
