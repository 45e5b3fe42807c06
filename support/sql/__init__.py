"""SQL: endpoints, sessions that never wait without a limit, and statements.

The last statements are kept for the report of a failure.
"""

from support.sql.deadlines import answer_within
from support.sql.endpoints import Endpoint, login_variables
from support.sql.errors import CONDITION, CORRUPTED, Error, condition_of, constraint_of, error_of, tells_of_refusal
from support.sql.recording import KEPT, LONGEST, RecordingCursor, Sent, sent_since
from support.sql.sessions import (
    GRACE,
    Row,
    Session,
    Values,
    connect,
    effective,
    execute,
    rows,
    session,
    settings,
    value,
)

__all__ = [
    "CONDITION",
    "CORRUPTED",
    "GRACE",
    "KEPT",
    "LONGEST",
    "Endpoint",
    "Error",
    "RecordingCursor",
    "Row",
    "Sent",
    "Session",
    "Values",
    "answer_within",
    "condition_of",
    "connect",
    "constraint_of",
    "effective",
    "error_of",
    "execute",
    "login_variables",
    "rows",
    "sent_since",
    "session",
    "settings",
    "tells_of_refusal",
    "value",
]
