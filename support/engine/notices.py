"""Notices of a server with all their fields, whatever the language of their texts.

psycopg2 keeps only the text of a notice, which follows the server's lc_messages. libpq has the fields as well; they are
read here by libpq itself, past psycopg2, which goes on to keep the texts.

Source: https://www.postgresql.org/docs/16/libpq-notice-processing.html and protocol-error-fields.html
"""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import psycopg2
import psycopg2._psycopg

from support import sql

_SEVERITY, _CODE, _MESSAGE, _DETAIL, _ROUTINE = (ord(one) for one in "VCMDR")
"""The fields of a notice; V is the severity that is never translated."""

_NOT_REPLICATED = "might not have been replicated"
_WAITS_FOR_STANDBYS = "SyncRepWaitForLSN"
"""The function of PostgreSQL (syncrep.c) that warns when a commit stops waiting for its standbys."""
_RELAYED = "DefaultCitusNoticeReceiver"
"""The function of Citus that passes on what a worker said to the coordinator, under the coordinator's own name."""
_CODES_OF_THAT_WARNING = ("01000", "57P01")
"""SQLSTATEs of the warning: of a wait that was cancelled, and of one that ended because the server shuts down."""


@dataclass(frozen=True)
class Notice:
    """One message of a server that is not an error. Fields that the server did not send are empty."""

    severity: str
    """WARNING, NOTICE, INFO, ...; never translated."""
    code: str
    """SQLSTATE."""
    message: str
    detail: str = ""
    routine: str = ""
    """The function of the server that reported it."""

    @property
    def doubts_replication(self) -> bool:
        """Whether it says that a transaction was committed locally, but may not be on a standby.

        PostgreSQL acknowledges such a commit all the same. The warning is recognised by the function that reports it.
        A worker's warning that Citus relays is recognised by its words if they are English, else by its SQLSTATE and
        because it has a detail: other warnings may be taken for it, and the write then counts as unknown.
        """
        if self.severity != "WARNING":
            return False
        if self.routine == _WAITS_FOR_STANDBYS or _NOT_REPLICATED in self.detail:
            return True
        return self.routine == _RELAYED and self.code in _CODES_OF_THAT_WARNING and bool(self.detail)

    def __str__(self) -> str:
        return " ".join(f"{self.severity}: {self.message} {self.detail}".split())


class Notices:
    """The notices that a session has received since they were last cleared."""

    def __init__(self) -> None:
        self._received: list[Notice] = []

    def __iter__(self) -> Iterator[Notice]:
        return iter(self._received)

    def append(self, notice: Notice) -> None:
        self._received.append(notice)

    def clear(self) -> None:
        self._received.clear()


_libpq = ctypes.CDLL(psycopg2._psycopg.__file__)  # finds the functions of the libpq that psycopg2 itself uses
_Receiver = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_libpq.PQresultErrorField.restype = ctypes.c_char_p
_libpq.PQresultErrorField.argtypes = [ctypes.c_void_p, ctypes.c_int]
_libpq.PQsetNoticeReceiver.restype = ctypes.c_void_p
_libpq.PQsetNoticeReceiver.argtypes = [ctypes.c_void_p, _Receiver, ctypes.c_void_p]
_usual: Any = None
"""The receiver that libpq has for every connection: it hands the text to psycopg2."""
_received: "WeakValueDictionary[int, Notices]" = WeakValueDictionary()
"""Address of a connection -> its notices."""


def notices_of(session: sql.Session) -> Notices:
    """Every further notice of this session, for as long as the caller keeps the object."""
    global _usual
    connection = session.pgconn_ptr
    assert connection is not None, "the session is closed"
    notices = _received[connection] = Notices()
    before = _libpq.PQsetNoticeReceiver(connection, _RECEIVER, connection)
    _usual = _usual or _Receiver(before)
    return notices


def _receive(connection: int, result: int) -> None:
    if (notices := _received.get(connection)) is not None:
        fields = (_field(result, one) for one in (_SEVERITY, _CODE, _MESSAGE, _DETAIL, _ROUTINE))
        notices.append(Notice(*fields))
    _usual(None, result)


def _field(result: int, name: int) -> str:
    return (_libpq.PQresultErrorField(result, name) or b"").decode(errors="replace")


_RECEIVER = _Receiver(_receive)  # one for all connections: libpq may call it for as long as the process lives
