"""Asks every member, all the time, whether it would accept a write: this is how a split brain is detected."""

import re
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress

from support import sql
from support.engine.history import History, Operation, Outcome, WriterSample
from support.engine.workload import Script, Task, Turn, Workload
from support.errors import ConnectFailed
from support.target.translations import NOT_READY
from support.timeouts import CONNECT

PACE = 0.05  # seconds between two questions to a member
PATIENCE = 1.0  # seconds to wait for an answer at least: less for a frozen member means more looks when it thaws
_SLOWER = 10  # how many times longer than on the healthy cluster an answer may take
LONGEST_SILENCE = 5.0
"""Seconds for which a member may give no answer, and it is still known that it did not lead meanwhile: some looks fail
on a busy machine, and no member can win an election, lead, and be a replica again in so short a time."""
_CLOSED = re.compile(
    f"Connection refused|{NOT_READY.pattern}"
    "|(no login after .*|failed): (server closed the connection unexpectedly|.*Connection reset by peer)"
)
"""The errors that a client gets where no server is listening, or where it is starting or stopping and accepts no
logins.

Where a container's port is published, its forwarder listens all the time, and hangs up if there is no server behind it.
"""
_EACH_ADDRESS = re.compile(r'connection to server (?:at|on socket) "')
"""Begins what libpq says of one address; it tries each address that a name has, until one lets it in."""
_NO_SUCH_NETWORK = re.compile(
    "Network is unreachable|Cannot assign requested address|Address family not supported by protocol"
)
"""What our own system says of an address of a kind that it does not use, such as IPv6: no server was asked there."""

# Only a writable server assigns an xid. This waits for no standby: a leader that lost its standby is still a writer.
_WOULD_WRITE = """
    SELECT CASE WHEN pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' THEN NULL
                ELSE pg_current_xact_id()::text END
"""


def looks(member: str) -> Script:
    """One client asks again and again; the recorded value is whether the member would have accepted a write."""

    def look(session: sql.Session) -> bool:
        return sql.value(session, _WOULD_WRITE) is not None

    def script(_: Turn) -> Task:
        return Task("look", member, None, look)

    return script


def patience_for(members: Iterable[sql.Endpoint]) -> float:
    """Seconds to wait for a member's answer, login included: many times what the slowest of them takes now."""
    took = [PATIENCE / _SLOWER]
    for endpoint in members:
        begun = time.monotonic()
        with suppress(sql.Error, ConnectFailed):
            sql.value(endpoint, _WOULD_WRITE)
            took.append(time.monotonic() - begun)
    return min(CONNECT, _SLOWER * max(took))


class Watch:
    """Asks all members at once, past the proxy, until it is closed. A context manager."""

    def __init__(self, members: Mapping[str, sql.Endpoint]) -> None:
        """The members are healthy now: how fast they answer tells how long to wait for an answer later."""
        self._history = History()
        patience = patience_for(members.values())
        self._workloads = [
            Workload(endpoint, looks(name), clients=1, pace=PACE, patience=patience, history=self._history)
            for name, endpoint in members.items()
        ]
        self._running = ExitStack()

    @property
    def samples(self) -> list[WriterSample]:
        """Every answer, or missing answer, until now."""
        return [_sample(operation) for operation in self._history]

    @property
    def latest(self) -> Mapping[str, bool | None]:
        """The last answer of each member: whether it would accept a write; None if it gave no answer."""
        found = dict[str, bool | None]()
        for one in self._history.last(10 * len(self._workloads)):
            found[one.key] = bool(one.value) if one.outcome is Outcome.OK else None
        return dict(sorted(found.items()))

    def __enter__(self) -> "Watch":
        with self._running:
            for workload in self._workloads:
                self._running.enter_context(workload)
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()


def _sample(operation: Operation) -> WriterSample:
    writable = bool(operation.value) if operation.outcome is Outcome.OK else None
    closed = writable is None and _tells_of_no_server(operation.error)
    return WriterSample(operation.key, operation.begun, operation.ended, writable, closed=closed)


def _tells_of_no_server(error: str) -> bool:
    """Whether nobody accepts logins at any address of the server: another one may be that of a server that hangs."""
    before, *addresses = _EACH_ADDRESS.split(error)
    asked = [one for one in addresses if not _NO_SUCH_NETWORK.search(one)] if addresses else [before]
    return bool(asked) and all(_CLOSED.search(one) for one in asked)
